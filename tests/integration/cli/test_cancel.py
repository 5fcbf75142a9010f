"""`cancel`, wherever the run is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.environment import State
from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker, ended
from tests.support import poll
from workers.cli.reports import Exit
from workers.records import RunRecord
from workers.runtime import Base
from workers.verbs import whoami

Fleet = Callable[..., Path]
Worker = subprocess.Popen[bytes]


def detached(stepmark: Stepmark, verb: str, fleet: Path) -> str:
    """Launch over one environment; the run's id."""
    said = stepmark(verb, fleet, "--detach", "--json")
    assert said.status == Exit.OK, said
    run: str = said.json["environments"][0]["run"]
    return run


def is_cancelled(run: RunRecord, step: str, reason: str) -> None:
    """It ended as cancelled, at the step, and the context says by whom and why."""
    assert run.failure is not None
    context = run.failure
    assert (run.status, context.error_kind, context.cause) == (RunStatus.CANCELLED, Kind.CANCELLED, Cause.CANCELLED)
    assert context.failed_step == step
    assert f"cancelled by {whoami()}: {reason}" in context.error_summary
    assert context.hint.startswith("`stepmark resume web-1`")


def test_a_queued_run_ends_at_once_without_any_worker(stepmark: Stepmark, fleet: Fleet, base: Base) -> None:
    run = detached(stepmark, "up", fleet(web_1={}))

    said = stepmark("cancel", "web-1", "--reason", "wrong size")

    assert said.status == Exit.OK
    is_cancelled(base.store.run(run), "wait-ssh-connectivity", "wrong size")
    assert [event["event"] for event in base.store.events(run)] == ["launched", "cancel-asked", "run-failed"]
    assert "next:    `stepmark resume web-1` goes on" in said.out
    assert base.store.environment("web-1").state is State.REGISTER_FAILED
    assert base.store.trace(base.store.traces("web-1")[0]) is not None
    assert base.client.hlen(base.keys.cancels()) == 0


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_running_step_is_interrupted_and_nothing_follows(
    pool: str, stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    start_worker("-P", pool)
    run = detached(stepmark, "up", fleet(web_1={"fail": "ssh.wait", "how": "tool"}))
    poll(lambda: base.store.run(run).status is RunStatus.RUNNING)

    said = stepmark("cancel", run, "--json")

    (outcome,) = said.json["environments"]
    assert (said.status, outcome["outcome"]) == (Exit.OK, "cancelled")
    is_cancelled(base.store.run(run), "wait-ssh-connectivity", "no reason given")
    assert outcome["failure"]["command"] == "sleep 600"
    assert base.store.run(str(base.store.run(run).next)).status is RunStatus.PENDING
    assert base.store.environment("web-1").run is None


def test_resume_goes_on_after_a_cancel(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    run = detached(stepmark, "up", fleet(web_1={"fail": "cloudinit.wait", "how": "tool"}))
    poll(lambda: (base.store.run(run).step, base.store.run(run).status) == ("cloud-init-wait", RunStatus.RUNNING))
    stepmark("cancel", "web-1")

    resumed = stepmark("resume", "web-1")

    assert resumed.status == Exit.OK
    assert base.store.environment("web-1").state is State.CONFIGURED


def test_a_run_that_waits_for_its_retry(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    run = detached(stepmark, "register", fleet(web_1={"fail": "ssh.wait", "how": "network", "last": "9"}))
    poll(lambda: base.store.run(run).status is RunStatus.WAITING)
    waiting = stepmark("status").out

    said = stepmark("cancel", "web-1", "--reason", "no network today")

    assert said.status == Exit.OK
    assert "attempt 2/3 in " in waiting
    assert "s: network-connectivity" in waiting
    is_cancelled(base.store.run(run), "wait-ssh-connectivity", "no network today")
    assert base.client.zcard(base.keys.retries()) == 0


def test_a_lost_run_is_ended_once_its_tools_must_have_ended(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    """No worker lives any more: the command itself ends it."""
    worker = start_worker()
    run = detached(stepmark, "register", fleet(web_1={"fail": "cloudinit.wait", "how": "kill-worker"}))
    poll(lambda: base.store.run(run).display is RunStatus.LOST)
    assert worker.wait(30) != 0

    said = stepmark("cancel", "web-1", "--reason", "gone")

    assert said.status == Exit.OK
    assert "the run of web-1 is lost: its tools may still be at work; it is ended in" in said.err
    is_cancelled(base.store.run(run), "cloud-init-wait", "gone")


def test_the_id_of_a_run_that_handed_over_means_the_live_one(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker
) -> None:
    run = detached(stepmark, "up", fleet(web_1={"fail": "ansible.install_docker", "how": "tool"}))
    following = str(base.store.run(run).next)
    poll(lambda: base.store.run(following).status is RunStatus.RUNNING)

    said = stepmark("cancel", run, "--reason", "enough")

    assert said.status == Exit.OK
    assert f"Run {run} has ended well and handed over to run {following}: that one is cancelled." in said.err
    is_cancelled(base.store.run(following), "install-docker", "enough")
    assert base.store.run(run).status is RunStatus.SUCCEEDED


def test_detached_it_returns_at_once(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    run = detached(stepmark, "register", fleet(web_1={"fail": "ssh.wait", "how": "tool"}))
    poll(lambda: base.store.run(run).status is RunStatus.RUNNING)

    said = stepmark("cancel", "web-1", "--detach")

    assert (said.status, said.out) == (Exit.OK, f"web-1 {run}\n")
    assert ended(base, run).status is RunStatus.CANCELLED


def test_what_has_ended_or_not_begun_is_refused(stepmark: Stepmark, fleet: Fleet, base: Base) -> None:
    run = detached(stepmark, "up", fleet(web_1={}))
    pending = stepmark("cancel", str(base.store.run(run).next))
    stepmark("cancel", "web-1")
    again, unknown = stepmark("cancel", "web-1"), stepmark("cancel", "nobody")

    assert pending.status == again.status == Exit.REFUSED
    assert "of web-1 has not begun" in pending.out
    assert "next:    `stepmark cancel web-1` cancels the run before it" in pending.out
    assert f"run {run} of web-1 has ended: cancelled at" in again.out
    assert unknown.status == Exit.USAGE
    assert "there is no environment or run 'nobody'" in unknown.err
