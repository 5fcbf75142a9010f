"""Processes told by a mark in their environment, which all that they start inherits."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import poll


def living(mark: str) -> dict[int, str]:
    """The command line of each live process with MARK=`mark`, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return found


def wait_for(mark: str, count: int) -> dict[int, str]:
    """Wait until exactly `count` such processes live."""
    poll(lambda: len(living(mark)) == count, seconds=20)
    return living(mark)


def guard_of(mark: str) -> int:
    """The process id of the one guard."""
    (pid,) = [pid for pid, text in living(mark).items() if "guard.py" in text]
    return pid


def end_all(mark: str) -> None:
    """Clean up after a test that failed."""
    for pid in living(mark):
        os.kill(pid, 9)
