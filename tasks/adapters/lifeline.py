"""Lifeline: what keeps the programs of one step alive."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tasks import errors
from tasks.adapters import guard


class Lifeline:
    """What keeps the programs of one step alive: fed by whoever holds the step's lease.

    Each program runs under a guard process of its own, at the far end of a socket. `feed` tells every guard that the
    lease is good for `seconds` more; a guard that is not fed in time, or whose worker dies, ends its program's process
    group. `cut` ends them now; whoever runs or starts one afterwards gets its error. Before the first `feed` only
    the worker's death and `cut` count. Any thread may call anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut = threading.Event()
        self._error: errors.StepmarkError | None = None
        self._good_until = math.inf
        self._cut_at = math.inf
        self._guards: set[socket.socket] = set()

    def feed(self, seconds: float) -> None:
        """Tell that the lease is good for `seconds` from now."""
        with self._lock:
            self._good_until = guard.clock() + seconds
            self._send(f"good {self._good_until}")

    def cut(self, error: errors.StepmarkError) -> None:
        """End all programs, and let none begin: whoever asks gets `error`. The first one stands."""
        with self._lock:
            self._error = self._error or error
            self._cut_at = min(self._cut_at, guard.clock())
            self._cut.set()
            self._send("end")

    @property
    def lost_at(self) -> float:
        """When it was cut, or else when the lease lapses if it is not fed again: on the guards' clock."""
        return min(self._cut_at, self._good_until)

    def check(self) -> None:
        """Do nothing while the lease holds.

        Raises:
            LeaseLostError: it was not fed in time. What it was cut with: it was cut.
        """
        if self._error is not None:
            raise type(self._error)(*self._error.args)
        if guard.clock() >= self._good_until:
            raise errors.LeaseLostError("its lease was not renewed in time")

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the lease is lost.

        Raises:
            LeaseLostError: it was cut, or not fed in time.
        """
        self._cut.wait(max(seconds, 0))
        self.check()

    @contextmanager
    def join(self, control: socket.socket) -> Iterator[float]:
        """Let a guard hear of the lease through `control`; gives when, on the guards' clock, the lease ends so far.

        Raises:
            LeaseLostError: it is lost already.
        """
        control.setblocking(False)  # a guard that does not listen must not hold up the others
        with self._lock:
            self.check()
            self._guards.add(control)
            good_until = self._good_until
        try:
            yield good_until
        finally:
            with self._lock:
                self._guards.discard(control)

    def _send(self, message: str) -> None:
        for control in self._guards:
            with suppress(OSError):  # that guard has ended, or has not listened for long
                control.send(message.encode())
