"""Leases: keeps alive what this process runs, and ends what it no longer may run."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from tasks import errors
from tasks.adapters.process import Lifeline
from workers import handover
from workers.connection import Script
from workers.keys import Keys

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hold:
    """What to do for an execution while its lease is held. asked_at, last: on the monotonic clock.

    asked_at: when the lease was asked for; it cannot be older than that. tick: called after each renewal.
    last: when even a step that cannot be interrupted must have ended; overdue: called once if it has not.
    """

    asked_at: float
    last: float
    tick: Callable[[], None]
    overdue: Callable[[], None]


class Leases:
    """One a process. A thread of it renews every lease that the process holds, in one round trip.

    A lifeline is fed only after Redis has said that the lease is good: when Redis cannot be reached for a lease's
    length, the guards end the tools before anybody may take over.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, lease_seconds: float, renew_seconds: float) -> None:
        self._renew = Script(client, "renew")
        self._keys = (keys.leases(), keys.cancels())
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._held: dict[str, tuple[Lifeline, Hold]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, execution: str, hold: Hold) -> Iterator[Lifeline]:
        """Renew the lease of `execution` while the block lasts."""
        lifeline = Lifeline()
        lifeline.feed(self._left(hold.asked_at))
        with self._lock:
            self._held[execution] = (lifeline, hold)
            self._begin()
        try:
            yield lifeline
        finally:
            with self._lock:
                self._held.pop(execution, None)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while True:
            time.sleep(self._renew_seconds)
            try:
                self.look(time.monotonic())
            except Exception:  # whatever it was, the leases of the others still have to be renewed
                logger.exception("Leases could not be looked after")

    def look(self, at: float) -> None:
        """Look after all leases once, at `at` on the monotonic clock."""
        with self._lock:
            late = {name: held for name, held in self._held.items() if at >= held[1].last}
            for name in late:
                del self._held[name]
            held = dict(self._held)
        for lifeline, hold in late.values():
            lifeline.cut(errors.DeadlineError("the step did not end at its deadline"))
            threading.Thread(target=hold.overdue, name="overdue", daemon=True).start()
        if handover.asked():
            for lifeline, _ in held.values():
                lifeline.cut(errors.HandOverError("its worker stops"))
        self.renew(held)

    def renew(self, held: Mapping[str, tuple[Lifeline, Hold]]) -> None:
        """Renew these leases once; feed the lifelines of the good ones, cut those of the lost and the cancelled."""
        if not held:
            return
        asked_at = time.monotonic()
        try:
            lost, cancelled = self._renew(self._keys, self._lease_seconds, *held)
        except redis.RedisError as error:
            logger.warning("Leases were not renewed: %s", error)
            return
        why = dict(zip(cancelled[::2], cancelled[1::2], strict=True))
        for execution, (lifeline, hold) in held.items():
            if execution in lost:
                lifeline.cut(errors.LeaseLostError("its lease is gone"))
                continue
            if execution in why:
                lifeline.cut(errors.CancelledError(words(why[execution])))
            lifeline.feed(self._left(asked_at))
            hold.tick()

    def _left(self, asked_at: float) -> float:
        return max(0.0, self._lease_seconds - (time.monotonic() - asked_at))


def words(mark: str) -> str:
    """Who cancelled, and why, from the mark in Redis: {"by": "ann@desk", "reason": "wrong size", "at": 1.5}."""
    content = json.loads(mark)
    return f"cancelled by {content['by']}: {content['reason'] or 'no reason given'}"
