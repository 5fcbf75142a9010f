"""Schedules and firings to test with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.fleet import EnvironmentSpec
from config.rollout import Policy
from config.schedules import Schedule
from tests.integration.conftest import spec
from tests.support import poll
from workers.firing import Firings
from workers.firingrecord import Due, Firing
from workers.rolloutrecord import RolloutRecord
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.schedule import Schedules

HOUR = 3600.0
_NO_POLICY: Mapping[str, Any] = {}


def declared(**changes: Any) -> Schedule:
    """An hourly one, but for the changes."""
    content = {"name": "nightly", "workflow": "register", "select": "all", "every": "1h"}
    return Schedule.model_validate(content | changes)


def applied(base: Base, *specs: EnvironmentSpec, policy: Mapping[str, Any] = _NO_POLICY, **changes: Any) -> Due:
    """A schedule that was applied some hours ago, and its latest time."""
    schedule, now = declared(**changes), base.now()
    kept = Schedules(base.client, base.keys)
    kept.apply(schedule, specs or (spec("web-1"),), "anna@here", now - 5 * HOUR, Policy.model_validate(policy))
    return Due(schedule.name, kept.find(schedule.name).timetable.due(0, now) or 0)


def later(due: Due, number: int = 1) -> Due:
    """Another firing of the same schedule."""
    return Due(due.schedule, due.at + number * 0.001)


def noted(base: Base) -> list[str]:
    """The firings that nobody has dealt with."""
    found: list[str] = base.client.zrange(base.keys.firings(), 0, -1)
    return found


def dealt_with(firings: Firings, due: Due) -> Firing:
    """What became of it; it must not have been dealt with before."""
    firings.note(due)
    found = firings.fire(due)
    assert found
    return found


def rollout(base: Base, firing: Firing) -> RolloutRecord:
    """What it began, as it is now."""
    assert firing.rollout
    return RolloutStore(base.client, base.keys).rollout(firing.rollout)


def runs(base: Base, firing: Firing) -> dict[str, str]:
    """The runs of what it began, by environment."""
    assert firing.rollout
    store = RolloutStore(base.client, base.keys)
    slots = store.slots(firing.rollout)
    return {**slots, **{name: each.run for name, each in store.outcomes(firing.rollout).items() if each.run}}


def over(base: Base, firing: Firing) -> RolloutRecord:
    """What it began, once it is over."""
    poll(lambda: rollout(base, firing).over, seconds=60)
    return rollout(base, firing)
