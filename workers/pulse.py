"""The pulse: a file that a worker or beat touches while it does its work, so that a health check costs next to nothing.

A worker touches it while connected, from the loop that takes messages; beat at each look at the schedules.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from config import settings

_EVERY_SECONDS = 5.0


class Pulse(bootsteps.StartStopStep):
    """A part of a worker: its timer runs in the worker's loop, and stops when the connection to Redis is lost."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        """Touch the file, now and every few seconds."""
        touch()
        self._timer = parent.timer.call_repeatedly(_EVERY_SECONDS, touch)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Leave the file to grow old."""
        if self._timer:
            self._timer.cancel()


def touch() -> None:
    """Mark this moment, if the settings name a file for it."""
    if file := settings.load().pulse_file:
        file.touch()
