"""Logging: the context of each record (run, environment, step)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FORMAT = "%(asctime)s %(levelname)s %(processName)s %(place)s%(message)s"

_place: ContextVar[str] = ContextVar("place", default="")


@contextmanager
def step(run: str, environment: str, name: str) -> Iterator[None]:
    """Name the run, the environment and the step in each record while the block lasts."""
    token = _place.set(f"[{run} {environment} {name}] ")
    try:
        yield
    finally:
        _place.reset(token)


class PlaceFilter(logging.Filter):
    """Adds `place` to each record: where in which run it was written, or nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with its place."""
        record.place = _place.get()
        return True
