"""Timetable: when a schedule is due; the same for whoever asks, on whichever machine."""

from __future__ import annotations

import hashlib

from config.cron import Cron
from config.model import Model


class Timetable(Model):
    """The times of a schedule: its name, either `cron` in a time zone or an interval, and the jitter.

    Times are Unix seconds. since: an interval's times are counted from here.
    A *time* is what the schedule says; it is *due* when its jitter has passed too.
    """

    name: str
    cron: str | None = None
    timezone: str = "UTC"
    interval_seconds: int = 0
    jitter_seconds: int = 0
    since: float = 0.0

    def after(self, at: float) -> float:
        """The first time later than `at`."""
        if self.cron:
            return Cron(self.cron, self.timezone).after(at)
        return self.since + max(1, self._passed(at) + 1) * self.interval_seconds

    def due_at(self, time: float) -> float:
        """When that time is due: later by a part of the jitter which is as good as random, and always the same."""
        drawn = hashlib.sha256(f"{self.name} {time:.0f}".encode()).digest()
        return time + int.from_bytes(drawn[:8], "big") % (self.jitter_seconds + 1)

    def due(self, last: float, now: float) -> float | None:
        """The latest time after `last` that is due; None: there is none. Those before it were missed.

        Whoever comes late is told of one time, not of each that has passed.
        """
        first = self.after(last)
        if self.due_at(first) > now:
            return None
        found = self._until(now, first)
        while found is not None and self.due_at(found) > now:
            found = self._until(found - 1, first)
        return first if found is None else found

    def _until(self, at: float, since: float) -> float | None:
        """The last time not later than `at`, and later than `since`."""
        if self.cron:
            return Cron(self.cron, self.timezone).until(at, since)
        found = self.since + self._passed(at) * self.interval_seconds
        return found if found > since else None

    def _passed(self, at: float) -> int:
        return int((at - self.since) // self.interval_seconds)
