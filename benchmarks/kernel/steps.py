"""What every step does: nothing, but say that it ran. A peer has a Python of its own: there is no import of ours."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Variables of the processes that take part.
COUNT_FILE = "BENCHMARK_COUNT_FILE"
NAMES = "BENCHMARK_STEPS"
HOLD = "BENCHMARK_HOLD"

_opened: dict[int, int] = {}


def names() -> list[str]:
    """Of the steps, in their order."""
    return os.environ[NAMES].split(",")


def work(name: str) -> None:
    """One more step's code has run; the one that is to be killed in the middle never ends.

    It costs a byte in a file: a microsecond, of whichever process, and none is lost.
    """
    pid = os.getpid()
    if pid not in _opened:
        _opened[pid] = os.open(os.environ[COUNT_FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_opened[pid], b".")
    while name == os.environ.get(HOLD):
        time.sleep(1)


def counted() -> int:
    """How many have run."""
    path = Path(os.environ[COUNT_FILE])
    return path.stat().st_size if path.exists() else 0


def main(send: Callable[[int], None], work: Callable[[int], None], where: Callable[[], str]) -> None:
    """What a peer's program is asked for: `send COUNT`, `work COUNT` for ever or until all are done, `where`."""
    what, *count = sys.argv[1:]
    if what == "where":
        print(where())
    else:
        {"send": send, "work": work}[what](int(count[0]))
