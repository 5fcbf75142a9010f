"""What is logged while a command works, for the command to say it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(record.getMessage())


@contextmanager
def collected() -> Iterator[list[str]]:
    """The warnings of ours that are logged while the block runs; they go nowhere else."""
    found: list[str] = []
    ours, collector = logging.getLogger("workers"), _Collector(found)
    propagated, ours.propagate = ours.propagate, False
    ours.addHandler(collector)
    try:
        yield found
    finally:
        ours.removeHandler(collector)
        ours.propagate = propagated
