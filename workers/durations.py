"""Durations: how long steps usually take, by the runs that are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from tasks.result import Ending
from workers.records import RunRecord
from workers.runtime import Base

_WORKED = (Ending.DONE, Ending.UNCHANGED)
_ENVIRONMENTS = 100
_RUNS = 4


class Usual(NamedTuple):
    """The median of a step's durations, and whether they are of the environment's own runs."""

    seconds: float
    own: bool


class Durations:
    """Of one fleet, by the newest runs of the environments that changed last. Read once for all that is asked."""

    def __init__(self, base: Base) -> None:
        self._base = base
        latest = sorted(base.store.environments(), key=lambda record: record.updated_at, reverse=True)[:_ENVIRONMENTS]
        runs = [run for record in latest for run in base.store.history(record.name)[:_RUNS]]
        self._fleet = _by_step(base.store.runs(runs).values())

    def of(self, environment: str) -> Mapping[str, Usual]:
        """By step: in the environment's own runs, else in the last runs of the others; none where nothing is kept."""
        own = _by_step(self._base.store.runs(self._base.store.history(environment)).values())
        fleet = {step: Usual(median(found), own=False) for step, found in self._fleet.items()}
        return fleet | {step: Usual(median(found), own=True) for step, found in own.items()}


def _by_step(runs: Iterable[RunRecord]) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for step in run.completed:
            if step.ending in _WORKED:
                found[step.step].append(step.seconds)
    return found
