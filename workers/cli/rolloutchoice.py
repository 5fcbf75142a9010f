"""Which rollout a verb is for when no id is given: the only one that goes on, whoever began it.

Also if that is not what the verb can change: whoever says it twice must not hit another one.
"""

from __future__ import annotations

from workers.refusals import RefusedError
from workers.rolloutrecord import RolloutRecord, RolloutStatus
from workers.rolloutstore import RolloutStore


def choose(store: RolloutStore) -> RolloutRecord:
    """The only one that has not ended.

    Raises:
        RefusedError: there is none, or are several.
    """
    found = [record for record in store.live() if not _being_written(record)]
    several = [f"{each.rollout} ({each.trigger}, {each.status.value})" for each in found]
    several += [f"{rollout} (kept by another version)" for rollout in store.of_other_versions()]
    if len(several) > 1:
        raise RefusedError(f"several rollouts may be meant: {', '.join(several)}", "name the one that you mean")
    if not found:
        raise RefusedError("; ".join(("no rollout goes on", *several)), "`stepmark rollout list` shows what there is")
    return found[0]


def _being_written(record: RolloutRecord) -> bool:
    """Whether it is paused by nobody: whoever begins it has not written all of it down."""
    return record.status is RolloutStatus.PAUSED and not record.changed_by
