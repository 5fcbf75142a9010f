"""`worker list` and `worker drain`, against real workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers.crew import Crew
from workers.launch import Launcher
from workers.runtime import Base


def names(stepmark: Stepmark, condition: str) -> list[str]:
    return [
        each["name"] for each in stepmark("worker", "list", "--json").json["workers"] if each["condition"] == condition
    ]


def test_list_shows_who_lives_and_what_each_runs(
    base: Base, stepmark: Stepmark, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    assert "No worker lives" in stepmark("worker", "list").err
    process = start_worker()
    run = launcher.launch(request(spec(fail="tofu.plan", how="wait"))).run
    poll(lambda: "web-1 tofu.plan" in steps_log.read_text())

    (found,) = stepmark("worker", "list", "--json").json["workers"]
    text = stepmark("worker", "list").out

    assert (found["name"], found["pid"], found["queues"], found["slots"], found["schema"]) == (
        *("w0@test", process.pid, ["tools", "wait"], 2),
        1,
    )
    assert [(each["run"], each["environment"], each["step"]) for each in found["running"]] == [
        (run, "web-1", "opentofu-plan")
    ]
    assert "w0@test" in text
    assert "1/2" in text
    assert "web-1 provision 4/9 opentofu-plan" in text
    steps_log.with_name("go").touch()
    ended(base, run)


def test_drain_and_off(
    base: Base, stepmark: Stepmark, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    start_worker()
    start_worker("-Q", "wait")
    poll(lambda: names(stepmark, "ready") == ["w0@test", "w1@test"])
    run = launcher.launch(request(spec(fail="tofu.plan", how="wait"))).run
    poll(lambda: "web-1 tofu.plan" in steps_log.read_text())

    told = stepmark("worker", "drain", "w0@test")
    poll(lambda: [each["taking"] for each in stepmark("worker", "list", "--json").json["workers"]] == [False, True])
    assert names(stepmark, "draining") == ["w0@test"]
    steps_log.with_name("go").touch()
    waited = stepmark("worker", "drain", "w0@test", "--wait")

    assert told.out == "w0@test: takes no new step; 1 still at work\n"
    assert told.err == "Nobody takes steps of the queue tools now: they wait until somebody does.\n"
    assert waited.out == "w0@test: takes no new step; none at work\n"
    assert base.store.run(run).step == "opentofu-apply"
    assert stepmark("worker", "drain", "--all", "--off", "--wait").out == (
        "w0@test: takes steps again\nw1@test: takes steps again\n"
    )
    assert ended(base, run).status == "succeeded"


@pytest.mark.parametrize(
    ("arguments", "status", "kind"), [(["nobody@test"], 2, "not-found"), ([], 2, "usage"), (["x", "--all"], 2, "usage")]
)
def test_drain_refuses(stepmark: Stepmark, arguments: list[str], status: int, kind: str) -> None:
    said = stepmark("worker", "drain", *arguments, "--json")

    assert (said.status, said.json["error"]["kind"]) == (status, kind)


@pytest.mark.parametrize(
    "words", [("-c", "7", "--queues", "wait"), ("--queues", "wait", "-c", "7"), ("-Q", "wait", "-c7")]
)
def test_without_a_command_of_its_own_worker_starts_some(
    words: tuple[str, ...], stepmark: Stepmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not know goes to Celery, wherever it stands."""
    started: list[Mapping[str, tuple[str, ...]]] = []

    class Scripted(Crew):
        def __init__(self, made: Mapping[str, tuple[str, ...]]) -> None:
            started.append(made)

        def run(self) -> bool:
            return True

    monkeypatch.setattr("workers.cli.worker.Crew", Scripted)

    assert stepmark("worker", *words).status == 0
    assert [list(each) for each in started] == [["wait"]]
    assert "".join(started[0]["wait"][-2:]) in ("-c7", "INFO-c7")


def test_a_run_that_nobody_can_take_says_so(
    base: Base, stepmark: Stepmark, launcher: Launcher, start_worker: StartWorker
) -> None:
    start_worker()
    poll(lambda: names(stepmark, "ready"))
    stepmark("worker", "drain", "--all")
    poll(lambda: names(stepmark, "drained"))
    run = launcher.launch(request(spec())).run

    assert "no worker takes steps of `tools`" in " ".join(stepmark("status", "--all").out.split())
    shown = stepmark("show", "web-1").out
    assert "now: no worker takes steps of `tools`" in shown
    assert "next: start one (`stepmark worker`), or have a drained one take steps again" in shown
    stepmark("worker", "drain", "--all", "--off")
    ended(base, run)
    assert "no worker takes" not in stepmark("status", "--all").out
