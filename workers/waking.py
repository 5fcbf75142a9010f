"""Waking: a thread that becomes free wakes its worker, which asks for no message while all its threads are taken.

Celery does so in a pool of processes only; a worker with threads looks again when something else wakes its loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.concurrency.thread import ApplyResult, TaskPool
from celery.worker import state


class Waker(bootsteps.StartStopStep):
    """A part of a worker with a pool of threads: its loop hears of them, over each connection anew."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told = False

    def include_if(self, parent: Any) -> bool:
        """Whether it is of use."""
        return isinstance(parent.pool, TaskPool)

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Have the loop go round whenever a thread of a full pool has become free: it asks for messages then."""
        hub.add_reader(self._event, os.eventfd_read, self._event)
        if not self._told:
            self._told = True
            parent.pool.on_apply = _and_then(parent.pool.on_apply, lambda: self._wake(parent.pool))

    def _wake(self, pool: TaskPool) -> None:
        # Surely if it was full until now. Others may leave at the same moment, and must not all take it for half empty.
        if len(state.reserved_requests) >= pool.num_processes // 2 - 1:
            os.eventfd_write(self._event, 1)


def _and_then(apply: Callable[..., ApplyResult], deed: Callable[[], None]) -> Callable[..., ApplyResult]:
    """`apply`, and when the thread has done with it, the deed."""

    def applied(*arguments: Any, **options: Any) -> ApplyResult:
        result = apply(*arguments, **options)
        result.f.add_done_callback(lambda _: deed())
        return result

    return applied
