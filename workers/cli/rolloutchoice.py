"""Which rollout a verb is for when no id is given: the only one that it can be for, whoever began that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workers.refusals import RefusedError
from workers.rolloutrecord import RolloutRecord, RolloutStatus


class Meant(NamedTuple):
    """What a verb can be for. statuses: of what has not ended. none: what to say where there is no such rollout."""

    statuses: frozenset[RolloutStatus]
    none: str


TO_PAUSE = Meant(frozenset({RolloutStatus.RUNNING}), "no rollout is running")
TO_RESUME = Meant(frozenset({RolloutStatus.PAUSED}), "no rollout is paused")
# A cancelled one too, as long as its runs go on: whoever says it twice must not hit another one.
TO_CANCEL = Meant(TO_PAUSE.statuses | TO_RESUME.statuses | {RolloutStatus.CANCELLED}, "no rollout goes on")


def choose(live: Sequence[RolloutRecord], meant: Meant) -> RolloutRecord:
    """The only one of those that have not ended that can be meant.

    Raises:
        RefusedError: none can be, or several.
    """
    found = [record for record in live if record.status in meant.statuses and not _being_written(record)]
    if len(found) > 1:
        several = ", ".join(f"{each.rollout} ({each.trigger}, {each.status.value})" for each in found)
        raise RefusedError(f"several rollouts may be meant: {several}", "name the one that you mean")
    if not found:
        raise RefusedError("; ".join((meant.none, *map(_how, live))), "`stepmark rollout list` shows what there is")
    return found[0]


def _how(record: RolloutRecord) -> str:
    how = f"{record.rollout} ({record.trigger}) is {record.status.value}"
    return f"{how}: {record.reason}" if _being_written(record) else how


def _being_written(record: RolloutRecord) -> bool:
    """Whether it is paused by nobody: whoever begins it has not written all of it down."""
    return record.status is RolloutStatus.PAUSED and not record.changed_by
