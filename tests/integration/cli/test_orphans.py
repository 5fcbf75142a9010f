"""Environments that the fleet file does not declare, or calls by another name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import request, spec
from tests.support import poll
from workers.launch import Launcher
from workers.runtime import Base

Fleet = Callable[..., Path]
Worker = subprocess.Popen


def keys_of(base: Base, name: str) -> set[str]:
    """Every key that has the environment's name in it, and what is kept of it beside."""
    found = {str(key) for key in base.client.keys("stepmark:*") if name in str(key).split(":")}
    return found | ({"environments"} if base.client.sismember(base.keys.environments(), name) else set())


def made(base: Base, name: str) -> None:
    """As if its host had been made: the scripted steps make none."""
    base.client.hset(base.keys.facts(name), "tofu_digest", json.dumps("digest"))


def test_orphans_lists_what_is_not_declared_and_what_was_never_launched(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]
) -> None:
    stepmark("register", fleet(web_1={}, web_2={}))
    made(base, "web-2")
    declared = fleet(web_1={}, web_3={})

    found = stepmark("orphans", declared, "--json").json
    text = stepmark("orphans", declared).out

    assert [(each["environment"], each["state"], each["host"]) for each in found["orphans"]] == [
        ("web-2", "provisioned", "web-2")
    ]
    assert found["never_launched"] == ["web-3"]
    assert "web-2" in text
    assert "web-3 is declared and was never launched" in text


def test_forget_removes_all_but_the_traces(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]) -> None:
    stepmark("register", fleet(web_1={"fail": "ssh.wait"}, web_2={}))
    (trace,) = base.store.traces("web-1")
    others = keys_of(base, "web-2")

    said = stepmark("forget", "web-1", "--reason", "sold", "--yes")

    assert said.status == 0
    assert keys_of(base, "web-1") == {base.keys.traces("web-1")}
    assert 0 < base.client.ttl(base.keys.traces("web-1")) <= base.retention_seconds
    assert keys_of(base, "web-2") == others
    assert stepmark("trace", trace).status == stepmark("trace", "web-1").status == 0
    gone = stepmark("show", "web-1", "--json")
    assert (gone.status, gone.json["error"]["kind"]) == (2, "not-found")
    assert "it was forgotten at" in gone.json["error"]["help"]
    assert gone.json["error"]["help"].endswith(": sold")
    assert [each["environment"] for each in stepmark("status", "--json").json["environments"]] == ["web-2"]

    stepmark("register", fleet(web_1={"fail": "ssh.wait", "times": "2"}))
    poll(lambda: base.client.ttl(base.keys.traces("web-1")) == -1)
    assert len(base.store.traces("web-1")) == 2


def test_forget_is_refused_while_a_host_may_be_there(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]
) -> None:
    stepmark("register", fleet(web_1={}))
    made(base, "web-1")
    before = keys_of(base, "web-1")

    refused = stepmark("forget", "web-1", "--reason", "sold", "--yes", "--json")
    unasked = stepmark("forget", "web-1", "--reason", "sold")

    assert (refused.status, refused.json["error"]["message"]) == (
        3,
        "environment web-1 is provisioned: its host web-1 may be there",
    )
    assert (unasked.status, "say --yes" in unasked.err) == (2, True)
    assert keys_of(base, "web-1") == before
    assert stepmark("forget", "web-1", "--reason", "burnt", "--yes", "--host-is-gone", "--json").json["host_is_gone"]
    assert keys_of(base, "web-1") == set()


@pytest.mark.parametrize("words", [("forget", "web-1", "--reason", "sold"), ("adopt", "web-1", "web-9")])
def test_both_are_refused_while_a_run_is_there(
    words: tuple[str, ...], stepmark: Stepmark, base: Base, launcher: Launcher
) -> None:
    run = launcher.launch(request(spec())).run
    before = keys_of(base, "web-1")

    said = stepmark(*words, "--yes", "--json")

    assert (said.status, said.json["error"]["kind"]) == (3, "busy")
    assert (keys_of(base, "web-1"), keys_of(base, "web-9")) == (before, set())
    assert base.store.run(run).live


def test_adopt_takes_all_along_and_the_run_goes_on(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]
) -> None:
    """Also what failed before: its hint names the new name, and resume does it. On the host the old name stays."""
    failed = stepmark("register", fleet(web_1={"fail": "ssh.wait"}), "--json").json["environments"][0]
    poll(lambda: base.store.traces("web-1"))  # it is kept after the end is recorded
    before = {key.replace("web-1", "web-9") for key in keys_of(base, "web-1")}
    facts = base.store.facts("web-1").model_copy(update={"scope_name": "web-1"})

    said = stepmark("adopt", "web-1", "web-9", "--reason", "new scheme", "--yes")

    assert (said.status, said.out) == (0, "web-1 is called web-9 now.\n")
    assert keys_of(base, "web-9") == before | {base.keys.facts("web-9")}
    assert keys_of(base, "web-1") == set()
    shown = stepmark("show", "web-9", "--json").json
    assert (shown["spec"]["name"], shown["facts"]) == ("web-9", facts.model_dump(mode="json"))
    assert shown["run"]["failure"]["environment"] == "web-9"
    assert shown["run"]["failure"]["hint"] == failed["failure"]["hint"].replace("web-1", "web-9")
    assert "it is called web-9 since" in stepmark("show", "web-1", "--json").json["error"]["help"]
    assert stepmark("resume", "web-9").status == 1, "the script counts by name: it is the first call again"
    assert stepmark("resume", "web-9").status == 0
    assert stepmark("register", fleet(web_1={})).status == 0, "no host goes by the old name: it is free"


def test_the_name_of_a_host_stays_reserved(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]) -> None:
    """Over two renamings, and until the host is destroyed: another host of that name would be taken for it."""
    stepmark("register", fleet(web_1={}))
    made(base, "web-1")

    assert "keeps the name web-1" in stepmark("adopt", "web-1", "web-8", "--yes").out
    stepmark("adopt", "web-8", "web-9", "--yes")

    assert base.store.facts("web-9").host_name == base.store.facts("web-9").scope_name == "web-1"
    assert [each.name for each in base.store.environments()] == ["web-9"]
    taken = stepmark("register", fleet(web_1={}), "--json")
    assert (taken.status, taken.json["environments"][0]["error"]["message"]) == (3, "environment web-1 is moved")
    assert stepmark("register", fleet(web_8={})).status == 0
    refused = stepmark("forget", "web-1", "--reason", "x", "--yes", "--json")
    assert refused.json["error"]["message"] == "the name web-1 is reserved for the host of environment web-9"
    exists = stepmark("adopt", "web-8", "web-1", "--yes", "--json")
    assert (exists.status, exists.json["error"]["message"]) == (3, "there is an environment web-1 already")

    stepmark("destroy", "web-9", "--yes")
    assert stepmark("forget", "web-1", "--reason", "its host is gone", "--yes").status == 0
    assert stepmark("register", fleet(web_1={})).status == 0


def test_a_renamed_environment_may_come_home(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]
) -> None:
    stepmark("register", fleet(web_1={}))
    made(base, "web-1")
    before = keys_of(base, "web-1")

    stepmark("adopt", "web-1", "web-9", "--yes")
    said = stepmark("adopt", "web-9", "web-1", "--yes")

    assert said.out == "web-9 is called web-1 now.\n"
    assert (base.store.facts("web-1").host_name, keys_of(base, "web-1"), keys_of(base, "web-9")) == (
        None,
        before,
        set(),
    )
    assert stepmark("destroy", "web-1", "--yes").status == 0


def test_forgetting_the_renamed_one_frees_the_name(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]
) -> None:
    stepmark("register", fleet(web_1={}))
    made(base, "web-1")
    stepmark("adopt", "web-1", "web-9", "--yes")

    stepmark("forget", "web-9", "--reason", "burnt", "--host-is-gone", "--yes")

    assert keys_of(base, "web-1") | keys_of(base, "web-9") == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("adopt", "web-1", "Web_9"), "must be a-z"),
        (("adopt", "web-1", "web-1"), "it has that name"),
        (("adopt", "web-2", "web-9"), "there is no environment 'web-2'"),
        (("forget", "web-2", "--reason", "x"), "there is no environment 'web-2'"),
    ],
)
def test_what_cannot_be_meant(words: tuple[str, ...], message: str, stepmark: Stepmark, launcher: Launcher) -> None:
    launcher.launch(request(spec()))

    said = stepmark(*words, "--yes")

    assert said.status == 2
    assert message in said.err
