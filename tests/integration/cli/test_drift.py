"""`drift`, and how what it finds is shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration import scripted
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import ended, spec
from tests.integration.scheduled import applied, dealt_with, over, runs
from workers.cli import rolling
from workers.firing import Firings
from workers.runtime import Base

Fleet = Callable[..., Path]
Worker = subprocess.Popen

SUMMARY = "hcloud_server.host: create (it is gone)"


def test_drift_is_found_shown_and_gone(stepmark: Stepmark, fleet: Fleet, worker: Worker[bytes]) -> None:
    stepmark("register", fleet(web_1={}, web_2={}))

    found = stepmark("drift", fleet(web_1={"drift": SUMMARY}, web_2={}))
    status, shown = stepmark("status").out, stepmark("show", "web-1").out

    assert found.status == 6
    assert f"1 to add, 0 to change, 0 to destroy: {SUMMARY}" in found.out
    rows = [line.split() for line in status.splitlines()]
    assert rows[1][:4] == ["web-1", "provisioned", "(drifted)", "register"]
    assert rows[2][:3] == ["web-2", "provisioned", "register"]
    assert SUMMARY in shown
    assert "seen last at" in shown
    assert "no drift at" in stepmark("show", "web-2").out

    clean = stepmark("drift", fleet(web_1={}, web_2={}), "--json")
    assert (clean.status, [each["drift"] for each in clean.json["environments"]]) == (0, [None, None])
    document = stepmark("show", "web-1", "--json").json
    assert (document["drift"], [each["workflow"] for each in document["checks"]]) == (None, ["drift-check"] * 2)
    assert [each["workflow"] for each in document["history"]] == ["register"]


def test_over_many_environments_drift_is_counted(
    stepmark: Stepmark, fleet: Fleet, worker: Worker[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "SMALL", 2)
    stepmark("register", fleet(web_1={}, web_2={}, web_3={}))

    said = stepmark("drift", fleet(web_1={"drift": SUMMARY}, web_2={}, web_3={"drift": SUMMARY}))
    failed = stepmark("drift", fleet(web_1={"fail": "tofu.look_for_drift", "times": "2"}, web_2={}, web_3={}))

    assert said.status == 6
    assert f"  2 drifted: web-1, web-3: {SUMMARY}" in said.out.splitlines()
    assert failed.status == 5
    assert "next: `stepmark drift` looks again" in failed.out


def test_a_rollout_tells_what_its_looks_have_found(stepmark: Stepmark, fleet: Fleet, worker: Worker[bytes]) -> None:
    stepmark("register", fleet(web_1={}, web_2={}, web_3={}))

    said = stepmark("drift", fleet(web_1={"drift": SUMMARY}, web_2={}, web_3={}))

    assert "3/3: 3 succeeded, 1 drifted" in said.out.splitlines()[-1]
    shown = stepmark("rollout", "show").out
    assert f"  1 drifted: web-1: {SUMMARY}" in shown.splitlines()
    assert "  3 succeeded: web-1, web-2, web-3" in shown.splitlines()
    assert "next: `stepmark show` of each that drifted says what to do about it" in shown
    assert "1 drifted" in stepmark("rollout", "list").out
    document = stepmark("rollout", "show", "--json").json
    assert (document["drifted"], document["outcomes"]["web-1"]["drift"]) == (1, SUMMARY)
    assert document["outcomes"]["web-2"]["drift"] == ""
    clean = stepmark("drift", fleet(web_1={}, web_2={}, web_3={}))
    assert (clean.status, "drifted" in clean.out) == (0, False)


def test_the_canary_of_a_fleet_is_not_for_looks(stepmark: Stepmark, fleet: Fleet, worker: Worker[bytes]) -> None:
    file = fleet(web_1={}, web_2={})
    stepmark("register", file)
    file.write_text(json.dumps({**json.loads(file.read_text()), "rollout": {"canary": {"size": 1}}}))

    by_the_file, by_hand = stepmark("drift", file), stepmark("drift", file, "--canary", "1")

    assert by_the_file.status == 0
    assert (by_hand.status, "paused by the canary" in by_hand.out) == (5, True)


def test_a_look_that_failed_is_shown_until_the_next_one(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]
) -> None:
    """It is no failure of the environment, and what was found before stays."""
    stepmark("register", fleet(web_1={}))
    stepmark("drift", fleet(web_1={"drift": SUMMARY}))

    failed = stepmark("drift", fleet(web_1={"fail": "tofu.look_for_drift", "times": "2"}))

    assert failed.status == 1
    assert "stepmark drift --env web-1" in failed.out
    shown = stepmark("show", "web-1").out
    assert "provisioned (drifted)" in shown
    assert "the last look for drift failed: command-execution: it went wrong" in shown
    stepmark("drift", fleet(web_1={}))
    assert "the last look" not in stepmark("show", "web-1").out


def test_what_was_configured_before_is_to_be_configured_again(
    stepmark: Stepmark, fleet: Fleet, worker: Worker[bytes]
) -> None:
    assert "configured before" not in stepmark("up", fleet(web_1={})).out

    drifted = stepmark("drift", fleet(web_1={"drift": SUMMARY})).out
    again = stepmark("register", fleet(web_1={})).out

    assert "`stepmark up` does it, and configures the host again" in drifted
    assert again.splitlines()[-2:] == ["configured before, provisioned now: web-1", "  next:    `stepmark configure`"]
    assert "configured before" not in stepmark("configure", fleet(web_1={})).out


def test_an_environment_without_a_host_is_refused(stepmark: Stepmark, fleet: Fleet, worker: Worker[bytes]) -> None:
    said = stepmark("drift", fleet(web_1={}))

    assert said.status == 3
    assert "environment web-1 has no host yet" in said.out
    assert stepmark("status", "--json").json["environments"] == []


def test_by_a_schedule(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker[bytes]) -> None:
    stepmark("register", fleet(web_1={}))
    due = applied(base, spec("web-1", drift=SUMMARY), workflow="drift-check")

    firing = dealt_with(Firings(base, scripted.app), due)

    run = ended(base, runs(base, firing)["web-1"])
    mark = base.store.environment("web-1").drift
    assert mark is not None
    assert (run.trigger, mark.run, mark.summary) == (f"schedule nightly, rollout {firing.rollout}", run.run, SUMMARY)
    over(base, firing)
    assert "1 of 1 succeeded, 1 drifted" in stepmark("schedule", "show", "nightly").out
    assert "1 drifted" in " ".join(stepmark("schedule", "list").out.split())
    (last,) = [each["last"] for each in stepmark("schedule", "list", "--json").json["schedules"] if each["last"]]
    assert (last["progress"]["rollout"], last["progress"]["drifted"]) == (firing.rollout, 1)
