"""The matrix is made from the code, and what must come of it is read from the code's tables."""

from __future__ import annotations

import dataclasses

import pytest

from tasks import workflows
from tasks.environment import State
from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tasks.workflows.model import Step, Unknown, Workflow
from tests.faults import cells, judge, site, table
from tests.faults.catalogue import FAULTS
from tests.faults.cells import Cell, Expectation
from tests.faults.fault import Fault
from tests.faults.trial import Said, Seen
from workers.tracker import Why

_NAMES = {fault.name: fault for fault in FAULTS}
_LOST = (Kind.WORKER_LOST, Cause.WORKER_LOST)


def test_every_fault_at_every_step() -> None:
    steps = sum(len(workflow.steps) for workflow in workflows.WORKFLOWS.values())

    assert len(cells.all_cells()) == len(set(cells.all_cells())) == steps * len(FAULTS)
    assert len({cell.environment for cell in cells.all_cells()}) == steps * len(FAULTS)


@pytest.mark.parametrize("seed", range(739_000, 739_100))
def test_a_sample_has_every_fault_and_every_step(seed: int) -> None:
    chosen = cells.sample(seed)

    assert {cell.fault for cell in chosen} == set(FAULTS)
    assert {(cell.workflow, cell.index) for cell in chosen} == set(cells.places())
    assert not any(cell.why_not for cell in chosen)
    assert chosen == cells.sample(seed)


def test_samples_differ() -> None:
    assert cells.sample(1) != cells.sample(2)


def _expected(fault: Fault, unknown: Unknown, monkeypatch: pytest.MonkeyPatch) -> Expectation:
    first, *rest = workflows.WORKFLOWS["provision"].steps
    steps: tuple[Step, ...] = (dataclasses.replace(first, unknown=unknown), *rest)
    workflow: Workflow = dataclasses.replace(workflows.WORKFLOWS["provision"], steps=steps)
    monkeypatch.setitem(workflows.WORKFLOWS, "provision", workflow)  # type: ignore[arg-type]  # read-only for others
    return cells.expected(Cell("provision", 1, fault), site.settings(fault))


@pytest.mark.parametrize(
    ("fault", "unknown", "begun", "done"),
    [
        ("worker", Unknown.RERUN, 2, 1),
        ("worker", Unknown.VERIFY, 2, 1),
        ("worker-before-end", Unknown.RERUN, 2, 2),
        ("worker-before-end", Unknown.VERIFY, 1, 1),
        ("worker-started", Unknown.RERUN, 1, 1),
    ],
)
def test_what_a_policy_allows(
    fault: str, unknown: Unknown, begun: int, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _expected(_NAMES[fault], unknown, monkeypatch)

    assert found == Expectation(
        RunStatus.SUCCEEDED,
        State.PROVISIONED,
        _LOST,
        Why.TAKEN_OVER,
        "render-opentofu-templates",
        begun,
        done,
    )


def test_a_step_that_asks_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _expected(_NAMES["worker"], Unknown.ASK, monkeypatch)

    assert (found.status, found.state, found.told, found.went_on) == (
        RunStatus.FAILED,
        State.PROVISION_FAILED,
        _LOST,
        None,
    )


_STEP = "register/wait-ssh-connectivity"
_REST = tuple(
    f"{word} register/{step} r.1 9 {at}"
    for step, at in (("render-ansible-templates", 30), ("cloud-init-wait", 31))
    for word in ("start", "end")
)


def _seen(*log: str, **more: object) -> Seen:
    """A run of `register` whose first step's worker was lost, taken over, and right."""
    said = Said(step="wait-ssh-connectivity", index=1, kind="worker-lost", cause="worker-lost")
    events = (
        {"event": "taken-over", "step": said.step, "at": "14.0"},
        {"event": "step-started", "step": said.step, "at": "14.5"},
    )
    right = Seen(
        environment="worker-register-1",
        status="succeeded",
        state="provisioned",
        said=(said,),
        events=events,
        log=(*log, *_REST),
        struck_at=10.0,
        known_at=12.0,
    )
    return right.model_copy(update=more)


_LOG = (f"start {_STEP} r.1 5 9.0", f"alive {_STEP} r.1 5 11.9", f"start {_STEP} r.2 6 14.6", f"end {_STEP} r.2 6 15.0")


def _judged(seen: Seen) -> judge.Verdict:
    return judge.judge(Cell("register", 1, _NAMES["worker"]), seen, site.settings(_NAMES["worker"]), 5.0)


def test_a_right_cell() -> None:
    assert _judged(_seen(*_LOG)) == judge.Verdict((), True, 2.0, 4.5, 2, 0, 0)


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (_seen(*_LOG[:1], f"alive {_STEP} r.1 5 14.7", *_LOG[2:]), "the number of executions at one time is 1, not 0"),
        (_seen(*_LOG, f"start {_STEP} r.3 7 20.0"), "how often the step began is 3, not 2"),
        (_seen(*_LOG[:2], "end " + _LOG[1][6:], *_LOG[2:]), "the step was done 2 times, not 1"),
        (_seen(*_LOG, _REST[0]), "render-ansible-templates ran 2 times, not 1"),
        (_seen(*_LOG, status="failed"), "the run is failed, not succeeded"),
        (_seen(*_LOG, state="registering"), "the environment is registering, not provisioned"),
        (_seen(*_LOG, live="r"), "the run that holds the environment is r, not None"),
        (_seen(*_LOG, left=("stepmark:due: r",)), "what Redis still holds of the run is ('stepmark:due: r',), not ()"),
        (_seen(*_LOG, known_at=None), "it was never known"),
        (_seen(*_LOG, known_at=30.0), "it was known after 20.0 s, not within 7.0 s"),
        (_seen(*_LOG, struck_at=None), "the fault did not strike"),
        (_seen(*_LOG, problem="it did not begin"), "it did not begin"),
    ],
)
def test_a_wrong_cell(seen: Seen, wrong: str) -> None:
    assert wrong in _judged(seen).wrong


def test_the_wrong_step_is_no_attribution() -> None:
    other = Said(step="cloud-init-wait", index=3, kind="worker-lost", cause="worker-lost")

    assert _judged(_seen(*_LOG, said=(other,))).named is False


def test_the_tables_say_all() -> None:
    """Every fault in every table, right and wrong cells, and why a cell cannot be."""
    places = list(cells.places())
    verdicts = {cell: judge.Verdict((), True, 2.0, 4.0, 2) for cell in cells.all_cells() if not cell.why_not}
    verdicts[Cell(*places[0], _NAMES["worker"])] = judge.Verdict(("the run is failed, not succeeded",), False)

    lines = list(table.lines(verdicts))

    for fault in FAULTS:
        assert sum(line.startswith(f"| {fault.title} |") for line in lines) == 1 + len(workflows.WORKFLOWS)
    tried, rest = len(verdicts), len(cells.all_cells()) - len(verdicts)
    assert lines[0] == f"- cells: {tried - 1}/{tried} right; {rest} more cannot be"
    assert lines[1].startswith(f"- attribution: {tried - 1}/{tried}")
    assert lines[-1].endswith("render-opentofu-templates: the run is failed, not succeeded")
    assert "1. no message follows the last step of a run." in lines
