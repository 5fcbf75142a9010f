"""`revoke` and `terminate` over Celery's control, as Flower's buttons send them, with real workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tests.integration import scripted
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers.launch import Launcher, Resumption
from workers.records import RunRecord
from workers.runtime import Base

TOOL = spec(fail="tofu.init", how="tool")


def told(run: RunRecord) -> tuple[RunStatus, str, Kind, Cause, str]:
    """How the run ended."""
    assert run.failure is not None
    context = run.failure
    return run.status, context.failed_step, context.error_kind, context.cause, context.error_summary


def task_id(run: RunRecord, index: int) -> str:
    """Celery's id of a step of the run."""
    return f"{run.run}.{run.epoch}.{run.delivery}.{index}"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("command", ["revoke", "terminate"])
def test_a_running_step_that_is_terminated_cancels_its_run(
    pool: str, command: str, base: Base, launcher: Launcher, start_worker: StartWorker
) -> None:
    start_worker("-P", pool)
    place = launcher.launch(request(TOOL))
    poll(lambda: (base.store.run(place.run).index, base.store.run(place.run).status) == (2, RunStatus.RUNNING))
    running = base.store.run(place.run)

    if command == "revoke":
        scripted.app.control.revoke(task_id(running, 2), terminate=True)
    else:
        scripted.app.control.broadcast("terminate", arguments={"signal": "KILL", "task_id": [task_id(running, 2)]})

    run = ended(base, place.run)
    assert told(run)[:4] == (RunStatus.CANCELLED, "opentofu-init", Kind.CANCELLED, Cause.CANCELLED), run.failure
    assert "cancelled by Celery: the task of the step was terminated there" in told(run)[4]
    assert run.failure is not None
    assert run.failure.command == "sleep 600"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_step_that_is_revoked_before_it_runs_cancels_its_run(
    pool: str, base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    start_worker("-P", pool)
    place = launcher.launch(request(spec(fail="tofu.init", how="wait")))
    poll(lambda: (base.store.run(place.run).index, base.store.run(place.run).status) == (2, RunStatus.RUNNING))
    later = task_id(base.store.run(place.run), 3)

    answers = scripted.app.control.revoke(later, reply=True, timeout=10)
    steps_log.with_name("go").touch()

    assert len(answers) == 1
    run = ended(base, place.run)
    assert told(run) == (
        RunStatus.CANCELLED,
        "opentofu-validate",
        Kind.CANCELLED,
        Cause.CANCELLED,
        "cancelled by Celery: the task of the step was revoked there",
    )
    assert "tofu.validate" not in steps_log.read_text()


def test_a_run_that_goes_on_is_not_touched_by_an_old_id(
    base: Base, launcher: Launcher, start_worker: StartWorker
) -> None:
    start_worker()
    place = launcher.launch(request(TOOL))
    poll(lambda: (base.store.run(place.run).index, base.store.run(place.run).status) == (2, RunStatus.RUNNING))
    old = task_id(base.store.run(place.run), 2)
    scripted.app.control.revoke(old, terminate=True)
    again = launcher.resume(ended(base, place.run), Resumption(), "tester@here")
    scripted.app.control.revoke(old, terminate=True, reply=True, timeout=10)

    assert ended(base, again.run).status is RunStatus.SUCCEEDED
