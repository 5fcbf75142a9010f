"""Cell: one fault at one step; all of them, and what the code's own tables say that must come of each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.settings import Settings
from tasks import environment, errors, failure, workflows
from tasks.environment import State
from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tasks.steps import ansible, drift, ssh, tofu
from tasks.workflows.model import Step, Unknown, Workflow
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault, Loss
from workers.tracker import Why

_PLACES_A_FAULT = 2


@dataclass(frozen=True)
class Cell:
    """A fault at the step at place `index` of a workflow."""

    workflow: str
    index: int
    fault: Fault

    @property
    def step(self) -> Step:
        """The step that is hit."""
        return workflows.WORKFLOWS[self.workflow].steps[self.index - 1]

    @property
    def environment(self) -> str:
        """The environment's name: short, and no two cells share it."""
        return f"{self.fault.name}-{self.workflow}-{self.index}"

    @property
    def why_not(self) -> str:
        """Why the fault cannot strike there; empty: it can."""
        return self.fault.why_not(workflows.WORKFLOWS[self.workflow], self.step)


@dataclass(frozen=True)
class Expectation:
    """What must come of a cell.

    told: kind and cause of the step's bad end, as its context says; None: there was none. went_on: how the run went on
    by itself, None if it did not. at: the place that the system must name; None: nothing is to be named.
    begun: how often the step's program must have begun; done: at most so often it has run to its end.
    """

    status: RunStatus
    state: State
    told: tuple[Kind, Cause] | None
    went_on: Why | None
    at: str | None
    begun: int
    done: int


def all_cells() -> tuple[Cell, ...]:
    """Every fault at every step of every workflow; those that cannot be say why."""
    return tuple(Cell(name, index, fault) for name, index in places() for fault in FAULTS)


def places() -> Iterator[tuple[str, int]]:
    """Every step of every workflow."""
    for name, workflow in workflows.WORKFLOWS.items():
        for index in range(1, len(workflow.steps) + 1):
            yield name, index


def sample(seed: int) -> tuple[Cell, ...]:
    """Some cells, the same for a seed: every fault at some steps, every step under some faults."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    order = list(places())
    draw.shuffle(order)
    taken = Counter(dict.fromkeys(order, 0))
    chosen: list[Cell] = []
    for fault in FAULTS:
        turn = [Cell(name, index, fault) for name, index in sorted(order, key=lambda place: taken[place])]
        picked = [cell for cell in turn if not cell.why_not][:_PLACES_A_FAULT]
        taken.update((cell.workflow, cell.index) for cell in picked)
        chosen += picked
    return tuple(chosen)


def remote(workflow: str, step: str) -> bool:
    """Whether the step works on the host, over SSH; the others run their tool on the worker."""
    task = _task(workflow, step)
    return task in vars(ssh).values() or (task in vars(ansible).values() and task is not ansible.render)


def error_of(workflow: str, step: str) -> type[errors.ToolError]:
    """What the step's adapter raises when its tool fails."""
    ours = _task(workflow, step) in (*vars(tofu).values(), *vars(drift).values())
    return errors.InfrastructureError if ours else errors.RemoteCommandError


def _task(workflow: str, step: str) -> object:
    found = workflows.WORKFLOWS[workflow]
    return found.steps[found.index(step) - 1].task


def route(workflow: Workflow) -> Sequence[str]:
    """The workflows that bring a new environment to where this one may begin: the fewest."""
    ways: list[tuple[State, tuple[str, ...]]] = [(State.CREATED, ())]
    for state, way in ways:
        if state in environment.sources(workflow.running):
            return way
        ways += [
            (each.done, (*way, each.name))
            for each in workflows.WORKFLOWS.values()
            if each.done and each.name not in way and state in environment.sources(each.running)
        ]
    raise AssertionError(f"nothing leads to {workflow.name}")


def origin(workflow: Workflow) -> State:
    """The state from which it is launched here."""
    way = route(workflow)
    done = workflows.WORKFLOWS[way[-1]].done if way else State.CREATED
    assert done
    return done


def expected(cell: Cell, settings: Settings) -> Expectation:
    """What the workflow's policies and the table of failures say of this cell."""
    workflow, step, fault = workflows.WORKFLOWS[cell.workflow], cell.step, cell.fault
    well = (RunStatus.SUCCEEDED, workflow.done or origin(workflow))
    if fault.loss is Loss.NOTHING:
        return Expectation(*well, None, None, None, 1, 1)
    if fault.loss is Loss.MESSAGE:
        at = workflow.steps[cell.index - 1 + fault.done].name
        return Expectation(*well, None, Why.SENT_AGAIN, at, 1, 1)
    if fault.loss is Loss.NEXT:
        following = workflow.steps[cell.index]
        if _may_go_on(following, settings):
            return Expectation(*well, (Kind.WORKER_LOST, Cause.WORKER_LOST), Why.TAKEN_OVER, following.name, 1, 1)
        return _ended(workflow, (Kind.WORKER_LOST, Cause.WORKER_LOST), following.name, 1, 1)
    told = told_of(cell)
    why = _why(cell, told, settings)
    if why is None:
        return _ended(workflow, told, step.name, fault.begun, fault.done)
    again = 0 if step.unknown is Unknown.VERIFY and fault.done and _uncertain(fault, told) else 1
    return Expectation(*well, told, why, step.name, fault.begun + again, fault.done + again)


def told_of(cell: Cell) -> tuple[Kind, Cause]:
    """With which kind and cause the step ends."""
    if cell.fault.loss is Loss.WORKER:
        return Kind.WORKER_LOST, Cause.WORKER_LOST
    kind, cause = cell.fault.told
    return kind or error_of(cell.workflow, cell.step.name).kind, cause


def _why(cell: Cell, told: tuple[Kind, Cause], settings: Settings) -> Why | None:
    """How the run goes on by itself; None: it ends."""
    kind, cause = told
    if kind is Kind.WORKER_LOST:
        if not _may_go_on(cell.step, settings):
            return None
        return Why.TAKEN_OVER if cause is Cause.WORKER_LOST else Why.RETRY
    return None if cell.step.retry.wait_seconds(kind, 0, 0.0) is None else Why.RETRY


def _may_go_on(step: Step, settings: Settings) -> bool:
    return step.unknown is not Unknown.ASK and settings.takeovers > 0


def _uncertain(fault: Fault, told: tuple[Kind, Cause]) -> bool:
    """Whether the next execution of the step is told that nobody knows what the one before has done."""
    return fault.loss is Loss.WORKER or told[1] is not Cause.RAISED


def _ended(workflow: Workflow, told: tuple[Kind, Cause], at: str, begun: int, done: int) -> Expectation:
    kind, cause = told
    status = failure.RULES[cause, kind].status
    return Expectation(status, workflow.failed or origin(workflow), told, None, at, begun, done)
