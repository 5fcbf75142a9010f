"""Wanted: which environments of the fleet an operator wants to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import typer

from tasks.environment import State
from tasks.failure import RunStatus
from workers.overview import Overview, Overviews
from workers.overviewrow import Row


@dataclass(frozen=True)
class Wanted:
    """What is given narrows the fleet: one of the states, of the steps, of the kinds, of the groups; all of the labels.

    states: of environments, or of their runs.
    """

    names: tuple[str, ...]
    states: frozenset[str]
    steps: frozenset[str]
    kinds: frozenset[str]
    groups: frozenset[str]
    labels: Mapping[str, str]

    @property
    def everything(self) -> bool:
        """Whether all of the fleet is wanted."""
        return self == Wanted((), frozenset(), frozenset(), frozenset(), frozenset(), {})

    def look(self, overviews: Overviews) -> Overview:
        """Look at them.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found = overviews.read(self.names)
        if self.everything:
            return found
        rows = tuple(row for row in found.rows if self._means(row))
        if self.groups or self.labels:
            declared = overviews.declared([row.environment for row in rows])
            rows = tuple(row for row in rows if self._fits(declared.get(row.environment, {})))
        return replace(found, rows=rows)

    def _means(self, row: Row) -> bool:
        """Where a run that ended well is, is nowhere."""
        at_step = row.status != RunStatus.SUCCEEDED and row.step in self.steps
        return (
            (not self.states or row.state in self.states or row.status in self.states)
            and (not self.steps or at_step)
            and (not self.kinds or row.kind in self.kinds)
        )

    def _fits(self, spec: Mapping[str, Any]) -> bool:
        in_groups = not self.groups or not self.groups.isdisjoint(spec.get("groups", ()))
        return in_groups and self.labels.items() <= spec.get("labels", {}).items()


def states(given: Iterable[str]) -> frozenset[str]:
    """The states that are asked for.

    Raises:
        typer.BadParameter: there is no such state, of an environment or of a run.
    """
    known = dict.fromkeys(map(str, (*State, *RunStatus)))
    for state in given:
        if state not in known:
            raise typer.BadParameter(f"{state!r} is no state; known: {', '.join(known)}", param_hint="--state")
    return frozenset(given)
