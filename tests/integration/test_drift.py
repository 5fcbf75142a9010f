"""drift-check as a run: the mark that it leaves on the environment, and that it leaves all else as it was."""

from __future__ import annotations

import subprocess

import pytest

from tasks.environment import State
from tasks.facts import PlanSummary
from tasks.failure import RunStatus
from tasks.result import Drift, Result
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.test_scripts import fail, message, snapshot
from workers import restarts, runlog
from workers.launch import Launcher, Resumption
from workers.records import EnvironmentRecord
from workers.refusals import RefusedError
from workers.runtime import Base
from workers.tracker import Execution, StaleError

COUNTS = PlanSummary(add=1, change=0, destroy=0)
CHECK = "drift-check"


def walk(base: Base, launcher: Launcher, workflow: str) -> str:
    """A run, step by step, as workers take it."""
    place = launcher.launch(request(spec(), workflow))
    record = base.store.run(place.run)
    for index, step in enumerate(record.names, 1):
        due = message(place, step=step).model_copy(update={"index": index})
        execution = base.tracker.start(due, "w0@test")
        base.tracker.end(execution, Result(execution.facts))
    return place.run


def begun(base: Base, launcher: Launcher) -> Execution:
    """A check whose step runs."""
    place = launcher.launch(request(spec(), CHECK))
    return base.tracker.start(message(place, 1, step="look-for-drift", total=1), "w0@test")


def found(base: Base, launcher: Launcher, summary: str) -> str:
    """A check that finds this; its run."""
    execution = begun(base, launcher)
    base.tracker.end(execution, Result(execution.facts, drift=Drift(COUNTS, summary)))
    return execution.identity.run


def but_for_the_mark(record: EnvironmentRecord) -> dict[str, object]:
    return record.model_dump(exclude={"drift", "checked_at", "revision"})


@pytest.fixture
def provisioned(base: Base, launcher: Launcher) -> EnvironmentRecord:
    walk(base, launcher, "provision")
    return base.store.environment("web-1")


def test_the_mark_lasts_from_the_first_look_that_found_any(
    base: Base, launcher: Launcher, provisioned: EnvironmentRecord
) -> None:
    first = found(base, launcher, "host: replace")
    one = base.store.environment("web-1")
    second = found(base, launcher, "host: replace, boot: replace")
    other = base.store.environment("web-1")

    assert one.drift is not None
    assert other.drift is not None
    assert (one.drift.run, one.drift.summary, one.drift.add) == (first, "host: replace", 1)
    assert (other.drift.run, other.drift.summary) == (second, "host: replace, boot: replace")
    assert one.drift.since == one.drift.at == other.drift.since < other.drift.at
    assert one.checked_at == pytest.approx(one.drift.at, abs=0.001)
    for record in (one, other):
        assert but_for_the_mark(record) == but_for_the_mark(provisioned)

    found(base, launcher, "")
    clean = base.store.environment("web-1")
    assert (clean.drift, (clean.checked_at or 0) > (other.checked_at or 0)) == (None, True)
    assert but_for_the_mark(clean) == but_for_the_mark(provisioned)


@pytest.mark.usefixtures("provisioned")
def test_a_provision_that_ended_well_mends_it(base: Base, launcher: Launcher) -> None:
    found(base, launcher, "host: create")
    place = launcher.launch(request(spec()))
    base.tracker.start(message(place), "w0@test")
    fail(base, place.run)
    assert base.store.environment("web-1").drift, "the provision failed"
    walk(base, launcher, "provision")
    assert base.store.environment("web-1").drift is None

    found(base, launcher, "host: create")
    walk(base, launcher, "configure")
    assert base.store.environment("web-1").drift, "no playbook makes a host"
    walk(base, launcher, "destroy")
    assert base.store.environment("web-1").drift is None


@pytest.mark.usefixtures("provisioned")
def test_a_late_look_marks_nothing(base: Base, launcher: Launcher) -> None:
    """Its worker was taken for lost; the run has been ended meanwhile."""
    late = begun(base, launcher)
    fail(base, late.identity.run)
    before = snapshot(base)

    with pytest.raises(StaleError):
        base.tracker.end(late, Result(late.facts, drift=Drift(COUNTS, "host: create")))

    assert snapshot(base) == before
    assert base.store.environment("web-1").drift is None


def test_a_look_that_failed_leaves_what_can_be_resumed(base: Base, launcher: Launcher) -> None:
    place = launcher.launch(request(spec()))
    base.tracker.start(message(place), "w0@test")
    fail(base, place.run)
    before = base.store.environment("web-1")

    check = begun(base, launcher)
    assert base.store.environment("web-1").state is State.CHECKING
    fail(base, check.identity.run)

    assert but_for_the_mark(base.store.environment("web-1")) == but_for_the_mark(before)
    failure = base.store.run(check.identity.run).failure
    assert failure is not None
    assert failure.hint.endswith("`stepmark drift --env web-1`")
    assert launcher.resume(base.store.run(place.run), Resumption(), "tester@here").epoch == 2


@pytest.mark.parametrize("workflows", [(), ("provision", "destroy")], ids=["never made", "destroyed"])
def test_where_there_is_no_host_nobody_looks(base: Base, launcher: Launcher, workflows: tuple[str, ...]) -> None:
    for workflow in workflows:
        walk(base, launcher, workflow)
    restarts.look(base)  # or the launch would note which Redis it is
    before = snapshot(base)

    with pytest.raises(RefusedError, match=r"web-1 (has no host yet|is destroyed)"):
        launcher.launch(request(spec(), CHECK))
    assert snapshot(base) == before


@pytest.mark.usefixtures("provisioned")
def test_looks_do_not_push_out_what_was_done(base: Base, launcher: Launcher) -> None:
    """They are apart from the history, and only the last ones are kept, with their events and logs."""
    history = base.store.history("web-1")
    runs = []
    for _ in range(5):
        runs.append(found(base, launcher, ""))
        base.client.xadd(base.keys.log(runs[-1]), {"step": "look-for-drift", "attempt": 1, "text": "no changes"})

    assert base.store.history("web-1") == history
    assert list(base.store.checks("web-1")) == runs[:1:-1]
    assert set(base.store.runs(runs)) == set(runs[2:])
    for run in runs[:2]:
        assert (base.store.events(run), list(runlog.read(base.client, base.keys, run))) == ((), [])


def test_a_look_whose_worker_is_killed_is_done_again(
    base: Base, launcher: Launcher, start_worker: StartWorker, worker: subprocess.Popen[bytes]
) -> None:
    ended(base, launcher.launch(request(spec())).run)
    before = base.store.environment("web-1")
    start_worker()

    killed = spec(fail="tofu.look_for_drift", how="kill-worker", drift="host: create")
    run = ended(base, launcher.launch(request(killed, CHECK)).run)

    after = base.store.environment("web-1")
    assert (run.status, [each.kind.value for each in run.earlier], run.taken) == (
        RunStatus.SUCCEEDED,
        ["worker-lost"],
        1,
    )
    assert after.drift is not None
    assert (after.drift.run, after.drift.summary) == (run.run, "host: create")
    assert but_for_the_mark(after) == but_for_the_mark(before)
    assert worker.wait(30) != 0
