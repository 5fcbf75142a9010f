"""The lock of an OpenTofu state as operators see it: who holds it, and how it is taken from the dead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from tasks.failure import RunStatus
from workers import restarts
from workers.connection import Script
from workers.records import RunRecord
from workers.refusals import ConflictError, RefusedError
from workers.runtime import Base


@dataclass(frozen=True)
class Lock:
    """A lock that is held. owner: `RUN.EPOCH`. info: as OpenTofu gave it (Operation, Who, Created)."""

    id: str
    owner: str
    info: dict[str, Any]

    @property
    def text(self) -> str:
        """Who holds it, for what, since when."""
        given = self.info
        return f"{given.get('Who') or self.owner}: {given.get('Operation') or '?'} since {given.get('Created') or '?'}"


def held(base: Base, environment: str) -> Lock | None:
    """The lock of the environment's state; None: nobody holds it."""
    fields = base.client.hmget(base.keys.tofu_state(environment), "lock_id", "owner", "lock")
    lock_id, owner, info = cast("list[str | None]", fields)
    return Lock(lock_id, owner or "", json.loads(info or "{}")) if lock_id else None


def release(base: Base, environment: str, lock: Lock, by: str, reason: str) -> None:
    """Free the lock of somebody who is dead, and note who did so.

    Raises:
        RefusedError: its holder lives, or may.
        ConflictError: another command has taken it since.
    """
    run, _, epoch = lock.owner.rpartition(".")
    record = base.store.runs([run]).get(run)
    left = max(_held_seconds(base, environment), restarts.quiet_seconds(base))
    if record and str(record.epoch) == epoch:
        left = max(left, _seconds_left(record, base.settings.takeover_seconds))
    if left > 0:
        held_by = f"the state of {environment} is held by {_place(record) or run}, epoch {epoch}"
        raise RefusedError(held_by, f"it may still be at work: wait for its end; earliest in {left:.0f} s")
    places = [base.keys.tofu_state(environment), base.keys.tofu_audit(environment)]
    if Script(base.client, "unlock")(places, lock.id, by, reason)[0] != "ok":
        raise ConflictError(f"the lock of {environment} was taken by another command", "look again, then repeat")


def _place(record: RunRecord | None) -> str:
    if record is None:
        return ""
    place = f"{record.workflow} {record.index}/{record.total} {record.step}"
    return f"run {record.run} of {record.user}, {place}, on worker {record.worker}"


def _held_seconds(base: Base, environment: str) -> float:
    """How long the tools of a step that has ended may still be ending: its process was killed, say."""
    held_until = cast("str | None", base.client.hget(base.keys.environment(environment), "held_until"))
    return float(held_until or 0) - base.now()


def _seconds_left(record: RunRecord, takeover_seconds: float) -> float:
    """How long a tool of the run may still be at work, at least."""
    if record.status is RunStatus.RUNNING:
        return record.free_at(takeover_seconds) - record.read_at
    return (record.ended_at or 0.0) + max(takeover_seconds, record.ending_seconds) - record.read_at
