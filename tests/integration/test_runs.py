"""Runs through real workers: success, each step failing, duplicates, late messages, two at once."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from tasks import trace
from tasks.environment import State
from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tasks.identity import StepIdentity
from tasks.result import Result
from tasks.trace import Trace
from tasks.workflows import WORKFLOWS
from tests.integration import scripted
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers import chain, runlog
from workers.launch import Launcher, Resumption
from workers.refusals import BusyError, ConflictError, RefusedError
from workers.runtime import Base

STEPS = [
    (name, index, step.name, step.task.name)
    for name in ("provision", "configure")
    for index, step in enumerate(WORKFLOWS[name].steps, 1)
]
FAILED_STATE = {"provision": State.PROVISION_FAILED, "configure": State.CONFIGURE_FAILED}


def ran(log: Path, environment: str = "web-1") -> list[str]:
    """The tasks that ran for an environment, in order."""
    lines = (line.split() for line in log.read_text().splitlines())
    return [task for name, task in lines if name == environment]


@pytest.mark.usefixtures("worker")
def test_up_goes_through_all_thirteen_steps(base: Base, launcher: Launcher, steps_log: Path) -> None:
    first = launcher.launch(request(spec(), "provision", "configure"))

    provision = ended(base, first.run)
    assert provision.next
    configure = ended(base, provision.next)
    record = base.store.environment("web-1")
    assert ran(steps_log) == [task for _, _, _, task in STEPS]
    assert [done.step for done in (*provision.completed, *configure.completed)] == [step for _, _, step, _ in STEPS]
    assert (record.state, record.run, record.partial) == (State.CONFIGURED, None, False)
    assert base.store.facts("web-1").address == "127.1.2.3"
    assert base.client.zcard(base.keys.leases()) == base.client.zcard(base.keys.due()) == 0
    assert next(runlog.read(base.client, base.keys, first.run)).text == "tofu.render runs, call 1"


def test_a_worker_that_dies_between_two_workflows(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """The second run is due, and its message was never sent."""
    place = launcher.launch(request(spec(), "register", "configure"))
    base.client.delete(*(step.queue.value for step in WORKFLOWS["register"].steps))
    following = None
    for index, step in enumerate(WORKFLOWS["register"].steps, 1):
        identity = StepIdentity(
            run=place.run,
            token=place.token,
            epoch=place.epoch,
            environment=place.environment,
            workflow="register",
            step=step.name,
            index=index,
            total=len(WORKFLOWS["register"].steps),
            delivery=place.delivery,
        )
        execution = base.tracker.start(identity, "dead@test")
        following = base.tracker.end(execution, Result(execution.facts))

    assert following is not None  # here it dies
    start_worker()

    run = ended(base, following.run)
    assert (run.workflow, run.status, run.epoch) == ("configure", RunStatus.SUCCEEDED, 2)
    assert ran(steps_log) == [step.task.name for step in WORKFLOWS["configure"].steps]
    assert base.store.environment("web-1").state is State.CONFIGURED


@pytest.mark.parametrize(("workflow", "index", "step", "task"), STEPS, ids=[step for _, _, step, _ in STEPS])
@pytest.mark.usefixtures("worker")
def test_the_step_that_fails_is_the_step_that_is_named(
    workflow: str, index: int, step: str, task: str, base: Base, launcher: Launcher, steps_log: Path
) -> None:
    """All thirteen raise the very same exception: nothing but the tracker can tell them apart."""
    workflows = ("provision", "configure") if workflow == "configure" else ("provision",)
    first = launcher.launch(request(spec(fail=task, how="same"), *workflows))
    run = ended(base, first.run)
    if workflow == "configure":
        assert run.status is RunStatus.SUCCEEDED
        assert run.next
        run = ended(base, run.next)

    context = run.failure
    assert context is not None
    assert run.status is RunStatus.FAILED
    assert base.store.environment("web-1").state is FAILED_STATE[workflow]
    assert (context.workflow, context.failed_step, context.step_index) == (workflow, step, index)
    assert (context.error_kind, context.cause, context.error_type) == (
        Kind.COMMAND_EXECUTION,
        Cause.RAISED,
        "SameError",
    )
    assert (context.command, context.exit_status, context.output_tail) == ("tool --flag", 3, "last words")
    assert [done.index for done in context.completed_steps] == list(range(1, index))
    assert (context.attempt, context.epoch, context.environment) == (1, 1, "web-1")
    assert "stepmark resume web-1" in context.hint or f"--step {step}" in context.hint
    assert ran(steps_log)[-1] == task
    kept = base.store.trace(poll(lambda: base.store.traces("web-1"))[0])
    assert kept is not None
    found = Trace.model_validate(kept)
    assert found.context == context
    assert f"{index}/{context.step_total} {step}" in trace.render(found)


@pytest.mark.parametrize(
    ("how", "kind", "cause"),
    [
        ("unpicklable", Kind.INTERNAL, Cause.RAISED),
        ("bug", Kind.INTERNAL, Cause.RAISED),
    ],
)
@pytest.mark.usefixtures("worker")
def test_however_the_step_ends_it_is_named(how: str, kind: Kind, cause: Cause, base: Base, launcher: Launcher) -> None:
    run = ended(base, launcher.launch(request(spec(fail="tofu.plan", how=how))).run)

    assert run.failure is not None
    assert (run.failure.failed_step, run.failure.error_kind, run.failure.cause) == ("opentofu-plan", kind, cause)


@pytest.mark.usefixtures("worker")
def test_the_name_follows_the_place_when_two_steps_are_swapped(base: Base, launcher: Launcher) -> None:
    run = ended(base, launcher.launch(request(spec(fail="tofu.validate"), "swapped")).run)

    assert run.failure is not None
    assert (run.failure.failed_step, run.failure.step_index) == ("opentofu-validate", 2)
    assert [done.step for done in run.failure.completed_steps] == ["render-opentofu-templates"]


@pytest.mark.parametrize(("times", "step", "index"), [("1", "first-look", 1), ("2", "second-look", 3)])
@pytest.mark.usefixtures("worker")
def test_one_task_used_twice_has_two_names(times: str, step: str, index: int, base: Base, launcher: Launcher) -> None:
    run = ended(base, launcher.launch(request(spec(fail="tofu.validate", times=times), "twice")).run)

    assert run.failure is not None
    assert (run.failure.failed_step, run.failure.step_index) == (step, index)


@pytest.mark.usefixtures("worker")
def test_resume_goes_on_from_the_failed_step_with_the_facts(base: Base, launcher: Launcher, steps_log: Path) -> None:
    """The address was learned before the failure, and is not lost."""
    failed = ended(base, launcher.launch(request(spec(fail="ssh.wait"), "provision", "configure")).run)
    assert base.store.facts("web-1").address == "127.1.2.3"
    before = len(ran(steps_log))

    launcher.resume(failed, Resumption(), "another@here")

    run = ended(base, failed.run)
    assert run.next
    assert ended(base, run.next).status is RunStatus.SUCCEEDED
    assert (run.status, run.epoch, run.user) == (RunStatus.SUCCEEDED, 2, "another@here")
    assert ran(steps_log)[before : before + 2] == ["ssh.wait", "cloudinit.wait"]
    assert {done.step: done.attempt for done in run.completed}["wait-ssh-connectivity"] == 2
    assert base.store.environment("web-1").state is State.CONFIGURED


@pytest.mark.usefixtures("worker")
def test_retry_goes_on_from_an_earlier_step_only(base: Base, launcher: Launcher, steps_log: Path) -> None:
    failed = ended(base, launcher.launch(request(spec(fail="tofu.apply"))).run)
    with pytest.raises(RefusedError, match="comes after"):
        launcher.resume(failed, Resumption("cloud-init-wait"), "tester@here")
    before = len(ran(steps_log))

    launcher.resume(failed, Resumption("opentofu-validate"), "tester@here")

    assert ended(base, failed.run).status is RunStatus.SUCCEEDED
    assert ran(steps_log)[before] == "tofu.validate"


def test_duplicate_and_stale_messages_run_nothing(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """The chain is sent three times, and once more with the epoch before: each step runs once."""
    first = launcher.launch(request(spec()))
    chain.send(scripted.app, first)
    chain.send(scripted.app, first)
    start_worker()

    assert ended(base, first.run).status is RunStatus.SUCCEEDED
    chain.send(scripted.app, first)
    poll(lambda: base.client.llen(base.keys.queue("tools")) == 0)
    again = launcher.launch(request(spec(fail="tofu.plan", times="2")))
    failed = ended(base, again.run)
    launcher.resume(failed, Resumption(), "tester@here")
    chain.send(scripted.app, again)
    assert ended(base, again.run).status is RunStatus.SUCCEEDED
    tasks = ran(steps_log)
    assert tasks[:9] == [task for workflow, _, _, task in STEPS if workflow == "provision"]
    assert len(tasks) == 9 + 9 + 1


def test_of_two_launches_at_once_one_wins(base: Base, launcher: Launcher) -> None:
    won: list[str] = []
    refused: list[BusyError] = []
    barrier = threading.Barrier(8)

    def launch() -> None:
        barrier.wait()
        try:
            won.append(launcher.launch(request(spec())).run)
        except BusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=launch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(won), len(refused)) == (1, 7)
    for part in (won[0], "tester@here", "1/9 render-opentofu-templates", "since 20"):
        assert part in str(refused[0])
    assert base.client.zcard(base.keys.runs("web-1")) == 1


@pytest.mark.usefixtures("worker")
def test_a_launch_with_an_old_revision_is_a_conflict(base: Base, launcher: Launcher) -> None:
    ended(base, launcher.launch(request(spec())).run)
    revision = base.store.environment("web-1").revision

    with pytest.raises(ConflictError):
        launcher.launch(request(spec(), revision=revision - 1))
    assert base.store.environment("web-1").revision == revision
    assert ended(base, launcher.launch(request(spec(), revision=revision)).run).status is RunStatus.SUCCEEDED


def test_a_workflow_that_the_state_does_not_allow_changes_nothing(base: Base, launcher: Launcher) -> None:
    with pytest.raises(RefusedError, match="web-1 has no host yet"):
        launcher.launch(request(spec(), "configure"))
    assert base.store.environments() == ()


@pytest.mark.usefixtures("worker")
def test_a_step_that_is_not_possible_makes_the_run_partial(base: Base, launcher: Launcher) -> None:
    environment = spec(not_possible="ansible.install_docker")
    first = ended(base, launcher.launch(request(environment, "provision", "configure")).run)
    assert first.next

    configure = ended(base, first.next)

    assert (configure.status, configure.partial) == (RunStatus.SUCCEEDED, True)
    assert configure.completed[0].model_dump(include={"ending", "note"}) == {
        "ending": "not-possible",
        "note": "this kind of host cannot",
    }
    assert base.store.environment("web-1").partial
    ended(base, launcher.launch(request(environment, "plan")).run)
    assert base.store.environment("web-1").partial, "a plan leaves the environment as it was"


@pytest.mark.usefixtures("worker")
def test_a_plan_goes_back_to_where_it_came_from(base: Base, launcher: Launcher) -> None:
    ended(base, launcher.launch(request(spec(), "plan")).run)
    assert base.store.environment("web-1").state is State.CREATED
    ended(base, launcher.launch(request(spec("web-2", fail="tofu.plan"), "plan")).run)
    assert base.store.environment("web-2").state is State.CREATED


def test_a_slow_queue_is_not_a_lost_message(base: Base, launcher: Launcher) -> None:
    """Two runs wait for a worker. When the messages are gone, the first is known to be lost and may be resumed."""
    first, second = launcher.launch(request(spec())), launcher.launch(request(spec("web-2")))
    for place in (first, second):
        with pytest.raises(BusyError, match="1/9 render-opentofu-templates"):
            launcher.resume(base.store.run(place.run), Resumption(), "tester@here")
    base.client.delete(base.keys.queue("tools"))

    poll(lambda: _resumed(launcher, base, first.run), every=0.5)

    assert base.store.run(first.run).epoch == 2
    assert base.store.run(second.run).epoch == 1


def test_a_lost_run_is_shown_at_its_step_and_taken_over(
    base: Base, launcher: Launcher, start_worker: StartWorker, worker: subprocess.Popen[bytes]
) -> None:
    """By the reaper of whichever worker lives; what is said of the lost execution is kept, with its step."""
    first = launcher.launch(request(spec(fail="tofu.apply", how="kill-worker")))
    poll(lambda: base.store.run(first.run).display is RunStatus.LOST)
    lost = base.store.run(first.run)
    assert (lost.status, lost.step, lost.index) == (RunStatus.RUNNING, "opentofu-apply", 5)
    with pytest.raises(BusyError, match="opentofu-apply"):
        launcher.launch(request(spec(), "destroy"))
    start_worker()

    run = ended(base, first.run)

    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 2)
    assert told(base) == ("opentofu-apply", Cause.WORKER_LOST, Kind.WORKER_LOST)


def test_a_step_whose_process_was_killed_runs_again(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """Its worker hears of it before the lease lapses, if that is not as short as in the other tests."""
    start_worker(STEPMARK_LEASE_SECONDS="12")
    run = ended(base, launcher.launch(request(spec(fail="tofu.plan", how="kill-child"))).run)

    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 2)
    assert ran(steps_log).count("tofu.plan") == 2
    assert told(base) == ("opentofu-plan", Cause.KILLED, Kind.WORKER_LOST)


def told(base: Base) -> tuple[str, Cause, Kind]:
    """Step, cause and kind of the last trace."""
    kept = base.store.trace(base.store.traces("web-1")[0])
    context = Trace.model_validate(kept).context
    return context.failed_step, context.cause, context.error_kind


def _resumed(launcher: Launcher, base: Base, run: str) -> bool:
    try:
        launcher.resume(base.store.run(run), Resumption(), "tester@here")
    except BusyError:
        return False
    return True
