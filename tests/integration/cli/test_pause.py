"""`pause` and `unpause`, with real workers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tasks.failure import RunStatus
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker, ended
from tests.support import poll
from workers.cli.reports import Exit
from workers.runtime import Base
from workers.verbs import whoami

Fleet = Callable[..., Path]
Worker = subprocess.Popen[bytes]


def launched(stepmark: Stepmark, fleet: Path) -> str:
    """The id of the run of one environment, which nobody waits for."""
    run: str = stepmark("register", fleet, "--detach", "--json").json["environments"][0]["run"]
    return run


def test_a_running_step_ends_and_the_next_begins_when_all_goes_on(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker, steps_log: Path
) -> None:
    run = launched(stepmark, fleet(web_1={"fail": "ssh.wait", "how": "wait"}))
    poll(lambda: base.store.run(run).status is RunStatus.RUNNING)

    paused = stepmark("pause", "--reason", "an outage")
    steps_log.with_name("go").touch()
    poll(lambda: base.store.run(run).index == 2)
    poll(lambda: base.client.llen(base.keys.queue("tools")) == 0)
    status, as_json = stepmark("status").out, stepmark("status", "--json").json
    kept = base.store.run(run)
    going = stepmark("unpause", "--json")

    said = f"All is paused by {whoami()} since "
    assert paused.status == going.status == Exit.OK
    assert paused.out.startswith(said)
    assert status.startswith(said)
    assert "all is paused" in status.splitlines()[-1]
    assert as_json["paused"]["reason"] == "an outage"
    assert (kept.status, kept.attempt) == (RunStatus.QUEUED, 0)
    assert going.json["sent_again"] == [run]
    assert ended(base, run).status is RunStatus.SUCCEEDED
    events = [event["event"] for event in base.store.events(run)]
    assert events.count("sent-again") == 1


def test_launches_are_accepted_and_say_that_they_wait(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker
) -> None:
    stepmark("pause")
    said = stepmark("register", fleet(web_1={}), "--detach")
    again = stepmark("pause", "--reason", "another")
    run = base.store.history("web-1")[0]
    poll(lambda: base.client.llen(base.keys.queue("wait")) == 0)

    assert said.status == Exit.OK
    assert "no reason given; what is launched begins after `stepmark unpause`." in said.err
    assert "no reason given. `stepmark unpause` goes on." in again.out
    assert base.store.run(run).status is RunStatus.QUEUED
    assert stepmark("unpause").out == "All goes on; sent again: 1.\n"
    assert stepmark("unpause").out == "Nothing was paused.\n"
    assert ended(base, run).status is RunStatus.SUCCEEDED


def test_a_worker_that_starts_meanwhile_keeps_to_it(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    """And what is cancelled while all is paused does not begin afterwards."""
    stepmark("pause", "--reason", "night")
    file = fleet(web_1={}, web_2={}, web_3={})
    launched = [stepmark("register", file, "--env", f"web-{each}", "--detach", "--json") for each in (1, 2, 3)]
    runs = [said.json["environments"][0]["run"] for said in launched]
    start_worker("-c", "1")
    poll(lambda: base.client.llen(base.keys.queue("wait")) == 0)
    stepmark("cancel", "web-3")
    stepmark("unpause")

    assert [ended(base, run).status for run in runs] == [
        RunStatus.SUCCEEDED,
        RunStatus.SUCCEEDED,
        RunStatus.CANCELLED,
    ]
