"""Turns: how many may do at once what each could do at any moment, as to log in to hosts that came up together."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import errors
from tasks.adapters import process

# While it waits, a step hears of its end within so many seconds.
_HEAR_SECONDS = 2.0


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
                    raise errors.DeadlineError("no time was left: too many others were to log in first")
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


# A login costs some hundredths of a second of CPU, and mostly waits for the other end.
LOGINS = Turns(4 * (os.cpu_count() or 1))
