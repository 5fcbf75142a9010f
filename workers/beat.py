"""Beat: fires the schedules in Redis when they are due. `celery -A workers beat --scheduler workers.beat:Scheduler`.

Of several beats one is active, which holds a lock; the others stand by. https://redbeat.readthedocs.io
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, cast

import redis
from celery import schedules
from kombu.exceptions import OperationalError
from redbeat.schedulers import RedBeatScheduler, RedBeatSchedulerEntry
from redis.lock import Lock

from config import settings
from config.timetable import Timetable
from workers import pulse, runtime, schedule
from workers.firing import Firings
from workers.firingrecord import Due
from workers.schedule import Schedules

logger = logging.getLogger(__name__)

_STANDBY_SECONDS = 1.0


class Times(schedules.BaseSchedule):
    """What an entry of RedBeat's has as its schedule. Read only when needed: what we cannot read harms no other."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__()
        self._content = content

    @cached_property
    def table(self) -> Timetable:
        """The times.

        Raises:
            pydantic.ValidationError: another version wrote it.
        """
        return Timetable.model_validate(self._content)


class DueEntry(RedBeatSchedulerEntry):
    """A schedule as beat has it. last_run_at: its latest time that was fired; at first, when it was applied."""

    @staticmethod
    def decode_definition(definition: str) -> dict[str, Any]:
        """The fields of an entry, as `workers.schedule` wrote them."""
        found = cast("dict[str, Any]", RedBeatSchedulerEntry.decode_definition(definition))
        return {**found, "schedule": Times(found["schedule"])}

    @property
    def last(self) -> float:
        """`last_run_at` in Unix seconds."""
        return float(self.last_run_at.timestamp() if self.last_run_at else self.schedule.table.since)

    def time_due(self, now: float) -> float | None:
        """The time of the schedule that is to be fired now."""
        return self.schedule.table.due(self.last, now) if self.enabled else None

    def is_due(self) -> tuple[bool, float]:
        """Whether it is due, and in how many seconds it will be next."""
        now, table = time.time(), self.schedule.table
        due = self.time_due(now)
        following = table.due_at(table.after(self.last if due is None else due))
        return due is not None, max(following - now, 0.0)

    def advance(self, client: redis.Redis, at: float) -> None:
        """Write down that its times until `at` were fired; unless it was applied anew, paused or removed meanwhile."""
        due_key, table = self.app.redbeat_conf.schedule_key, self.schedule.table

        def write(pipe: Any) -> None:
            definition = pipe.hget(self.key, "definition")
            found = self.decode_definition(definition) if definition else {}
            pipe.multi()
            if found and found["enabled"] and found["schedule"].table == table:
                pipe.hset(self.key, "meta", schedule.meta(at))
                pipe.zadd(due_key, {self.key: table.due_at(table.after(at))})

        client.transaction(write, self.key)


class Scheduler(RedBeatScheduler):
    """RedBeat over our connection, with a pulse; a standby and a beat that lost Redis look again and again."""

    Entry = DueEntry
    # RedBeat would open a connection of its own to the broker.
    _maybe_due_kwargs: ClassVar[dict[str, Any]] = {}

    def __init__(self, app: Any, *args: Any, **options: Any) -> None:
        chosen = settings.load()
        base = runtime.base(chosen)
        app.redbeat_redis = base.client
        super().__init__(app, *args, **options)
        self._client = base.client
        self._firings = Firings(base, app)
        self._schedules = Schedules(base.client, base.keys)
        # RedBeat's own way with the lock is to block until it has it, and to end when it is lost.
        self.lock_key = None
        self.lock: Lock = base.client.lock(
            base.keys.beat_lock(), timeout=chosen.beat_lock_seconds, blocking=False, thread_local=False
        )
        self._active: bool | None = None

    def setup_schedule(self) -> None:
        """Nothing: what is fired is in Redis."""

    def tick(self, *args: Any, **options: Any) -> float:
        """Fire what is due, if this beat is the active one; returns the seconds until the next look."""
        try:
            active = self._holds()
            seconds: float = super().tick(*args, **options) if active else _STANDBY_SECONDS
        except redis.RedisError as error:
            logger.warning("Beat cannot look at the schedules: %s", error)
            return _STANDBY_SECONDS
        pulse.touch()
        return seconds

    def maybe_due(self, entry: DueEntry, **_: Any) -> float:
        """Fire the entry if it is due; returns the seconds until it is next."""
        try:
            due, seconds = entry.is_due()
            if due:
                self._fire(entry)
        except OperationalError as error:
            logger.warning("The firing of schedule %s is sent later, by a reaper: %s", entry.name, error)
        except redis.RedisError:
            raise
        except Exception:  # one schedule that cannot be read must not keep the others
            logger.exception("Schedule %s cannot be fired", entry.name)
            return float(self.max_interval)
        return seconds

    def close(self) -> None:
        """End; a standby takes over at once."""
        try:
            super().close()
        except redis.RedisError as error:
            logger.warning("Beat could not give its place away: %s", error)

    def _fire(self, entry: DueEntry) -> None:
        """Note it before all else: whoever dies from then on, it is dealt with, and once."""
        at = entry.time_due(time.time())
        if at is None:
            return
        due = Due(entry.name, at)
        self._firings.note(due)
        entry.advance(self._client, at)
        logger.info("Schedule %s: firing its time %s", entry.name, due.mark)
        self._firings.send(due)

    def _holds(self) -> bool:
        """Whether this is the active beat: it holds the lock, or has just taken it."""
        if self.lock.owned():
            self.lock.reacquire()
            return True
        token = f"{socket.gethostname()}/{os.getpid()} {secrets.token_hex(8)}"
        active = bool(self.lock.acquire(token=token))
        if active:
            self._schedules.stand(time.time())
        if active is not self._active:
            logger.info("This beat fires the schedules" if active else "Another beat is active: standing by")
        self._active = active
        return active
