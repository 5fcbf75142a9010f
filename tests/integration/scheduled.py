"""Schedules and firings to test with."""

from __future__ import annotations

from typing import Any

from config.fleet import EnvironmentSpec
from config.schedules import Schedule
from tests.integration.conftest import spec
from workers.firing import Firings
from workers.firingrecord import Due, Firing
from workers.runtime import Base
from workers.schedule import Schedules

HOUR = 3600.0


def declared(**changes: Any) -> Schedule:
    """An hourly one, but for the changes."""
    content = {"name": "nightly", "workflow": "register", "select": "all", "every": "1h"}
    return Schedule.model_validate(content | changes)


def applied(base: Base, *specs: EnvironmentSpec, **changes: Any) -> Due:
    """A schedule that was applied some hours ago, and its latest time."""
    schedule, now = declared(**changes), base.now()
    kept = Schedules(base.client, base.keys)
    kept.apply(schedule, specs or (spec("web-1"),), "anna@here", now - 5 * HOUR)
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
    found = firings.fire(due)
    assert found
    return found
