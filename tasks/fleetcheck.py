"""The second pass over a fleet file: the names in it that only `tasks` knows, of steps, workflows and error kinds."""

from __future__ import annotations

from collections.abc import Iterator

from config.errors import FleetFileError, Problem
from config.fleet import Fleet, Schedule
from config.problems import suggest
from config.providers import registry
from config.tree import Node
from tasks.errors import Kind
from tasks.jobs import JOBS
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import RUN

# `up` is provision, then configure.
_LAUNCHABLE = frozenset({*WORKFLOWS, "up", *JOBS})
_STEPS = frozenset({RUN, *(step.name for workflow in WORKFLOWS.values() for step in workflow.steps)})


def check(fleet: Fleet) -> tuple[Problem, ...]:
    """What is wrong with the names of steps, workflows, kinds and providers in `fleet`, in the order of the file."""
    timeouts = (_unknown("step", name, node, _STEPS) for name, node in _timeouts(fleet))
    schedules = (
        _schedule(schedule, node) for schedule, node in zip(fleet.schedules, fleet.schedule_nodes, strict=True)
    )
    return FleetFileError(
        problem for problem in (*timeouts, *schedules, *_rollout(fleet.rollout_node)) if problem
    ).problems


def _timeouts(fleet: Fleet) -> Iterator[tuple[str, Node]]:
    for node in fleet.nodes.values():
        parameters = node.child("parameters")
        timeouts = parameters.child("timeouts") if parameters else None
        yield from timeouts.children().items() if timeouts else ()


def _rollout(node: Node) -> Iterator[Problem | None]:
    providers, budget = node.child("per_provider"), node.child("budget")
    for name, child in (providers.children() if providers else {}).items():
        yield _unknown("provider", name, child, frozenset(registry.models()))
    limits = budget.child("limits") if budget else None
    for limit in limits.value if limits and isinstance(limits.value, tuple) else ():
        for key, known in (("step", _STEPS - {RUN}), ("kind", frozenset(map(str, Kind)))):
            named = limit.child(key)
            if named and isinstance(named.value, str):
                yield _unknown(key, named.value, named, known)


def _schedule(schedule: Schedule, node: Node) -> Problem | None:
    if wrong := _unknown("workflow", schedule.workflow, node.child("workflow") or node, _LAUNCHABLE):
        return wrong
    if schedule.workflow in JOBS and schedule.select:
        return (node.child("select") or node).place.problem(f"is of no use: {schedule.workflow} is no workflow")
    if schedule.workflow not in JOBS and not schedule.select:
        return node.place.under("select").problem("is missing: add it, as `select: all`")
    return None


def _unknown(what: str, name: str, node: Node, known: frozenset[str]) -> Problem | None:
    return None if name in known else node.place.problem(f"no {what} is called `{name}`{suggest(name, known)}")
