"""How a run goes on, or ends, when a step does not end: retries, takeovers, deadlines, other versions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from tasks.environment import State
from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tasks.trace import Trace
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers.launch import Launcher
from workers.records import RunRecord
from workers.runtime import Base


def calls(log: Path, task: str) -> int:
    """How often the task ran."""
    return [line.split()[1] for line in log.read_text().splitlines()].count(task)


def failure(run: RunRecord) -> tuple[str, Kind, Cause, int]:
    """Step, kind, cause and attempt of a run's failure."""
    assert run.failure is not None
    return run.failure.failed_step, run.failure.error_kind, run.failure.cause, run.failure.attempt


def timed(environment: EnvironmentSpec, **seconds: float) -> EnvironmentSpec:
    """The environment with these timeouts; `_` in a name stands for `-`."""
    timeouts = {name.replace("_", "-"): value for name, value in seconds.items()}
    return environment.model_copy(
        update={"parameters": environment.parameters.model_copy(update={"timeouts": timeouts})}
    )


@pytest.mark.usefixtures("worker")
def test_a_failure_that_passes_is_tried_again(base: Base, launcher: Launcher, steps_log: Path) -> None:
    flaky = spec(fail="tofu.validate", how="network", last="2")

    run = ended(base, launcher.launch(request(flaky, "impatient")).run)

    assert (run.status, run.epoch, run.failure) == (RunStatus.SUCCEEDED, 3, None)
    assert [(step.step, step.attempt) for step in run.completed] == [("shaky", 3), ("asked", 1)]
    assert calls(steps_log, "tofu.validate") == 3
    assert len(base.store.traces("web-1")) == 2


@pytest.mark.usefixtures("worker")
def test_the_last_context_is_whole_and_the_earlier_ones_are_in_the_trace(base: Base, launcher: Launcher) -> None:
    run = ended(base, launcher.launch(request(spec(fail="tofu.validate", how="network", last="9"), "impatient")).run)

    assert failure(run) == ("shaky", Kind.NETWORK_CONNECTIVITY, Cause.RAISED, 3)
    traces = [Trace.model_validate(base.store.trace(trace)) for trace in base.store.traces("web-1")]
    assert [trace.context.attempt for trace in traces] == [3, 2, 1]
    assert [(each.attempt, each.trace_id) for each in traces[0].earlier] == [
        (1, traces[2].context.trace_id),
        (2, traces[1].context.trace_id),
    ]


def test_a_retry_waits_outside_of_the_broker(base: Base, launcher: Launcher, start_worker: StartWorker) -> None:
    start_worker()
    place = launcher.launch(request(spec(fail="ssh.wait", how="network", last="9"), "register"))

    run = poll(lambda: next(iter(waiting(base, place.run)), None))

    assert (run.step, run.retried, run.execution) == ("wait-ssh-connectivity", 1, None)
    assert run.failure is not None
    assert base.client.zscore(base.keys.retries(), place.run) == pytest.approx(run.due_at)
    assert (
        base.client.llen(base.keys.queue("wait"))
        == base.client.zcard(base.keys.leases())
        == base.client.zcard(base.keys.due())
        == 0
    )
    assert base.store.environment("web-1").state is State.REGISTERING


def waiting(base: Base, run: str) -> list[RunRecord]:
    """The run, if it waits for a retry."""
    return [record for record in [base.store.run(run)] if record.status is RunStatus.WAITING]


def test_where_only_an_operator_can_tell_the_run_ends(
    base: Base, launcher: Launcher, start_worker: StartWorker, worker: subprocess.Popen[bytes], steps_log: Path
) -> None:
    place = launcher.launch(request(spec(fail="tofu.plan", how="kill-worker"), "impatient"))
    poll(lambda: worker.poll() is not None)
    start_worker()

    run = ended(base, place.run)

    assert failure(run) == ("asked", Kind.WORKER_LOST, Cause.WORKER_LOST, 1)
    assert run.failure is not None
    assert "whether the step was done is not known" in run.failure.error_summary
    assert str(run.worker) in run.failure.error_summary
    assert calls(steps_log, "tofu.plan") == 1
    assert base.client.hget(base.keys.run(place.run), "uncertain:2") == "1"


def test_a_step_that_always_kills_its_process_ends_the_run(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    start_worker(STEPMARK_LEASE_SECONDS="9")
    place = launcher.launch(request(spec(fail="tofu.init", how="kill-child", last="99")))

    run = ended(base, place.run, seconds=120)

    executions = 1 + base.settings.takeovers
    assert failure(run) == ("opentofu-init", Kind.WORKER_LOST, Cause.KILLED, executions)
    assert calls(steps_log, "tofu.init") == executions
    assert len(run.earlier) == base.settings.takeovers


def test_a_run_that_waits_past_its_deadline_ends(base: Base, launcher: Launcher, start_worker: StartWorker) -> None:
    """By the reaper of a worker that does not even serve the queue."""
    start_worker("-Q", "another")

    run = ended(base, launcher.launch(request(timed(spec(), run=1))).run)

    assert failure(run) == ("render-opentofu-templates", Kind.TIMEOUT, Cause.TIMED_OUT, 0)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("bound", ["run", "opentofu_plan"])
def test_a_program_is_ended_at_the_deadline(bound: str, base: Base, launcher: Launcher) -> None:
    run = ended(base, launcher.launch(request(timed(spec(fail="tofu.plan", how="tool"), **{bound: 4}))).run)

    assert failure(run) == ("opentofu-plan", Kind.TIMEOUT, Cause.TIMED_OUT, 1)
    assert run.failure is not None
    assert run.failure.command == "sleep 600"


def test_a_step_that_hangs_in_our_own_code_ends_too(base: Base, launcher: Launcher, start_worker: StartWorker) -> None:
    """And its process is free again for others."""
    start_worker("-c", "1")

    run = ended(base, launcher.launch(request(timed(spec(fail="tofu.plan", how="hang"), opentofu_plan=1))).run)

    assert failure(run) == ("opentofu-plan", Kind.TIMEOUT, Cause.TIMED_OUT, 1)
    assert ended(base, launcher.launch(request(spec("web-2"), "plan")).run).status is RunStatus.SUCCEEDED


def test_a_run_whose_workflow_has_other_steps_now_fails(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    place = launcher.launch(request(spec()))
    others = ["check-disk", *base.store.run(place.run).names[1:]]
    base.client.hset(base.keys.run(place.run), mapping={"names": json.dumps(others), "step": "check-disk"})
    start_worker()

    run = ended(base, place.run)

    assert failure(run)[:3] == ("check-disk", Kind.CONFIGURATION, Cause.RAISED)
    assert calls(steps_log, "tofu.render") == 0
