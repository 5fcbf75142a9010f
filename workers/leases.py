"""Leases: keeps alive what this process runs, and ends what it no longer may run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from tasks.adapters.process import Lifeline
from workers.connection import Script
from workers.keys import Keys

logger = logging.getLogger(__name__)


class Leases:
    """One a process. A thread of it renews every lease that the process holds, in one round trip.

    A lifeline is fed only after Redis has said that the lease is good: when Redis cannot be reached for a lease's
    length, the guards end the tools before anybody may take over.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, lease_seconds: float, renew_seconds: float) -> None:
        self._renew = Script(client, "renew")
        self._key = keys.leases()
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._held: dict[str, tuple[Lifeline, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, execution: str, asked_at: float, tick: Callable[[], None]) -> Iterator[Lifeline]:
        """Renew the lease of `execution` while the block lasts; `tick` is called after each renewal.

        asked_at: when the lease was asked for, on the monotonic clock; it cannot be older than that.
        """
        lifeline = Lifeline()
        lifeline.feed(self._left(asked_at))
        with self._lock:
            self._held[execution] = (lifeline, tick)
            self._begin()
        try:
            yield lifeline
        finally:
            with self._lock:
                del self._held[execution]

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while True:
            time.sleep(self._renew_seconds)
            with self._lock:
                held = dict(self._held)
            try:
                self.renew(held)
            except Exception:  # whatever it was, the leases of the others still have to be renewed
                logger.exception("Leases could not be looked after")

    def renew(self, held: dict[str, tuple[Lifeline, Callable[[], None]]]) -> None:
        """Renew these leases once; feed the lifelines of the good ones and cut those of the lost ones."""
        if not held:
            return
        asked_at = time.monotonic()
        try:
            lost = set(self._renew([self._key], self._lease_seconds, *held))
        except redis.RedisError as error:
            logger.warning("Leases were not renewed: %s", error)
            return
        for execution, (lifeline, tick) in held.items():
            if execution in lost:
                lifeline.cut("its lease is gone")
                continue
            lifeline.feed(self._left(asked_at))
            tick()

    def _left(self, asked_at: float) -> float:
        return max(0.0, self._lease_seconds - (time.monotonic() - asked_at))
