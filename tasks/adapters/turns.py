"""Turns and shares: so that thousands of hosts, which all could be asked at any moment, are asked a few at a time.

Figures, and why so: docs/decisions/0047-waits-are-threads.md.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import errors
from tasks.adapters import process

# While it waits for its turn, a step hears of its end within so many seconds.
_HEAR_SECONDS = 2.0
_CORES = os.cpu_count() or 1


class Turns:
    """At most `count` at once; who comes first goes first. Any thread may take one."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, session: process.Session) -> Iterator[float]:
        """Wait for one, and have it while the block lasts; gives how many seconds that took.

        Raises:
            DeadlineError: the session's time passed first. LeaseLostError, or what the lifeline was cut with.
        """
        began, called = time.monotonic(), self._ask()
        try:
            while not called.wait(min(_HEAR_SECONDS, max(session.deadline - time.monotonic(), 0))):
                session.lifeline.check()
                if time.monotonic() >= session.deadline:
                    raise errors.DeadlineError("no time was left: too many others had to log in first")
            yield time.monotonic() - began
        finally:
            self._leave(called)

    def _ask(self) -> threading.Event:
        called = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                called.set()
            else:
                self._waiting.append(called)
        return called

    def _leave(self, called: threading.Event) -> None:
        with self._lock:
            if not called.is_set():
                self._waiting.remove(called)
            elif self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


class Share:
    """What many do again and again: the more they are, the less often each, at most `per_second` all together."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._members = 0
        self._lock = threading.Lock()

    @contextmanager
    def member(self) -> Iterator[None]:
        """Be one of them while the block lasts."""
        with self._lock:
            self._members += 1
        try:
            yield
        finally:
            with self._lock:
                self._members -= 1

    @property
    def pause_seconds(self) -> float:
        """How long each is to pause, at least."""
        return self._members / self._per_second


# A guard and its `ssh` need some 10 MiB, and 25 ms of CPU; a host that hesitates keeps its turn for seconds.
LOGINS = Turns(32 * _CORES)
POLLS = Turns(32 * _CORES)
# An eighth of the machine.
POLLING = Share(5.0 * _CORES)
