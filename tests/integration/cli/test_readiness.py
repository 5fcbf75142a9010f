"""What a worker lacks is found when a run is launched: real workers, asked over the real broker."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Said, Stepmark
from tests.integration.conftest import StartWorker
from tests.support import poll
from workers.registry import Registry
from workers.runtime import Base

SECRET = "not-to-be-seen"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two hosts that Hetzner would make, with tokens of their own, and one that exists."""
    hetzner = [
        {"name": f"web-{number}", "provider": {"name": "hetzner", "token": f"env:TOKEN_{number}"}} for number in (1, 2)
    ]
    old = {"name": "old-1", "provider": {"name": "existing", "address": "127.1.2.3"}}
    template = {"parameters": {"cloud_init": {"template": "user-data.yaml"}}}
    path = tmp_path / "fleet.yaml"
    path.write_text(json.dumps({"defaults": {"ssh": {"key": "file:key"}} | template, "environments": [*hetzner, old]}))
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "user-data.yaml").write_text("{}")
    return path


@pytest.fixture
def ready(base: Base, start_worker: StartWorker, stepmark: Stepmark):
    """Start workers with these variables; they have entered the registry when it returns."""

    def start(*queues: str, **variables: str) -> None:
        for queue in queues:
            start_worker("-Q", queue, **{"TOKEN_1": SECRET, "TOKEN_2": SECRET} | variables)
        poll(lambda: len(Registry(base.client, base.keys).workers()) == len(queues))

    return start


def texts(said: Said) -> dict[str, list[str]]:
    """What is lacking, by environment."""
    return {
        each["environment"]: [problem["text"] for problem in each["error"]["problems"]]
        for each in said.json["environments"]
        if each["error"]
    }


def test_all_is_there(stepmark: Stepmark, fleet: Path, ready) -> None:
    ready("tools", "wait")
    began = time.monotonic()

    said = stepmark("provision", fleet, "--env", "web-1", "--detach")

    assert (said.status, said.err) == (0, "")
    assert time.monotonic() - began < 0.9, "it returns with the last answer, not when the time for answers is over"


def test_a_missing_variable_refuses_whom_it_concerns(
    stepmark: Stepmark, base: Base, fleet: Path, ready, steps_log: Path
) -> None:
    ready("tools", "wait", TOKEN_2="")

    said = stepmark("provision", fleet, "--env", "web-1", "--env", "web-2", "--json")

    assert said.status == 5
    assert texts(said) == {
        "web-2": ["worker w0@test: secret env:TOKEN_2: the variable is not set, or empty"],
    }
    (refused,) = (each for each in said.json["environments"] if each["outcome"] == "refused")
    assert (refused["error"]["kind"], refused["run"]) == ("lacking", None)
    assert "start the worker anew" in refused["error"]["help"]
    assert base.client.smembers(base.keys.environments()) == {"web-1"}
    assert "web-2" not in steps_log.read_text()
    assert SECRET not in said.out + said.err


def test_each_thing_is_asked_of_the_workers_that_need_it(
    stepmark: Stepmark, fleet: Path, ready, tmp_path: Path
) -> None:
    """The key by both queues; the token, the template, tofu and Ansible by one; of the programs none is on the PATH."""
    ready("tools", "wait", PATH="/nowhere", TOKEN_1="")
    (tmp_path / "key").unlink()
    (tmp_path / "user-data.yaml").unlink()

    said = stepmark("up", fleet, "--env", "web-1", "--json")

    assert said.status == 3
    assert texts(said)["web-1"] == [
        f"worker w0@test: file {tmp_path}/user-data.yaml: No such file or directory",
        "worker w0@test: ssh is not on its PATH",
        "worker w0@test: tofu is not on its PATH",
        "worker w0@test: secret env:TOKEN_1: the variable is not set, or empty",
        f"worker w0@test: secret file:{tmp_path}/key: No such file or directory",
        "worker w1@test: ssh is not on its PATH",
        f"worker w1@test: secret file:{tmp_path}/key: No such file or directory",
    ]
    text = stepmark("register", fleet, "--env", "old-1")
    assert text.status == 3
    assert f"secret file:{tmp_path}/key: No such file or directory" in text.out


def test_who_does_not_want_to_know_launches(stepmark: Stepmark, fleet: Path, ready) -> None:
    ready("tools", "wait", TOKEN_1="")

    assert stepmark("provision", fleet, "--env", "web-1", "--detach", "--no-check").status == 0


def test_no_worker_is_a_warning(stepmark: Stepmark, fleet: Path, base: Base) -> None:
    said = stepmark("register", fleet, "--env", "old-1", "--detach")

    assert said.status == 0
    assert said.err == "warning: no worker takes steps of the queue wait now: they wait there\n"
    assert base.store.environment("old-1").run


def test_resume_asks_for_what_is_still_to_be_done(stepmark: Stepmark, base: Base, tmp_path: Path, ready) -> None:
    """Of a run that failed at its second step, not the first one's template."""
    provider = {"name": "hetzner", "token": "env:TOKEN_1"}
    labels = {"fail": "tofu.init"}
    fleet = tmp_path / "one.yaml"
    parameters = {"cloud_init": {"template": "user-data.yaml"}}
    environment = {"name": "web-1", "provider": provider, "labels": labels, "parameters": parameters}
    fleet.write_text(json.dumps({"environments": [environment | {"ssh": {"key": "file:key"}}]}))
    (tmp_path / "key").write_text(SECRET)
    ready("tools", "wait", TOKEN_1="")
    assert stepmark("provision", fleet, "--no-check").status == 1

    said = stepmark("resume", "web-1", "--json")
    again = stepmark("retry", "web-1", "--from", "render-opentofu-templates", "--json")

    token = "worker w0@test: secret env:TOKEN_1: the variable is not set, or empty"
    template = f"worker w0@test: file {tmp_path}/user-data.yaml: No such file or directory"
    assert (said.status, texts(said)) == (3, {"web-1": [token]})
    assert (again.status, texts(again)) == (3, {"web-1": [template, token]})
    assert base.store.environment("web-1").state == "provision-failed"


def test_destroy_asks_only_if_there_is_something_to_end(stepmark: Stepmark, fleet: Path, ready) -> None:
    """The scripted steps never learn that anything was made."""
    ready("tools", "wait", TOKEN_1="")
    stepmark("provision", fleet, "--env", "web-1", "--no-check")

    assert stepmark("destroy", "web-1", "--yes").status == 0


def test_answers_leave_nothing_behind(stepmark: Stepmark, fleet: Path, ready, base: Base) -> None:
    ready("tools", "wait")
    stepmark("register", fleet, "--env", "old-1")
    before = set(base.client.keys("*reply*"))

    for _ in range(3):
        stepmark("register", fleet, "--env", "old-1")

    assert set(base.client.keys("*reply*")) == before
