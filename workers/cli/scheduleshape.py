"""Schedules and their firings as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.cli import rolling
from workers.firingrecord import Due, Firing
from workers.rolloutrecord import RolloutRecord
from workers.schedule import ScheduleRecord

_SHAPE = {"environments", "policy", "applied_at", "applied_by", "paused", "next_at"}


def shape(record: ScheduleRecord) -> dict[str, Any]:
    """A schedule as JSON."""
    return {
        **record.schedule.model_dump(mode="json"),
        **record.model_dump(mode="json", include=_SHAPE),
        "waiting_since": Due.parse(record.waiting).at if record.waiting else None,
    }


def firing_shape(firing: Firing | None, begun: Mapping[str, RolloutRecord]) -> dict[str, Any] | None:
    """A firing as JSON. begun: the rollouts of firings, by id."""
    if firing is None:
        return None
    record = begun.get(firing.rollout or "")
    return firing.model_dump(mode="json") | {"progress": rolling.shape(record) if record else None}
