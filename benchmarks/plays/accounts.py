"""What groups of processes have used, by the kernel's account of control groups: exact, with all that has ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_END_SECONDS = 10.0


@contextlib.contextmanager
def group(name: str) -> Iterator[Path]:
    """A control group; processes that are left in it go back to where they came from.

    Raises:
        SystemExit: this machine has none, or they are not ours to make.
    """
    root = next((root for root in _ROOTS if (root / "cgroup.procs").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        raise SystemExit("control groups are needed, and leave to make them")
    made = root / f"stepmark-{os.getpid()}-{name}"
    made.mkdir()
    try:
        yield made
    finally:
        _empty(made)
        made.rmdir()


@contextlib.contextmanager
def inside(made: Path) -> Iterator[None]:
    """Be in a group while the block lasts; so is, for good, what is started meanwhile."""
    (made / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (made.parent / "cgroup.procs").write_text(str(os.getpid()))


def _empty(made: Path) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while (left := members(made)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                (made.parent / "cgroup.procs").write_text(str(pid))


def members(made: Path) -> list[int]:
    """The processes in a group."""
    return [int(word) for word in (made / "cgroup.procs").read_text().split()]


def cpu_seconds(made: Path) -> float:
    """User and system time of all that is or was in a group."""
    if (usage := made / "cpuacct.usage").exists():
        return int(usage.read_text()) / 1e9
    fields = dict(line.split() for line in (made / "cpu.stat").read_text().splitlines())
    return int(fields["usage_usec"]) / 1e6


def memory_bytes(made: Path) -> int:
    """The memory of all in a group, what is shared among processes divided by their number."""
    total = 0
    for pid in members(made):
        with contextlib.suppress(OSError, StopIteration):
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) * 1024
    return total
