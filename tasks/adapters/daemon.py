"""Start and end programs that outlive, or serve, the program that starts them: what the sandbox's hosts consist of."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks import errors

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Started:
    """A process, told apart from a later one of the same number. ticks: when it started, in clock ticks since boot."""

    pid: int
    ticks: int


def start_detached(argv: tuple[str, ...], *, cwd: Path, env: Mapping[str, str], log: Path) -> Started:
    """Start `argv` in a session of its own, output appended to `log`, nothing inherited; it outlives this process.

    Raises:
        ToolMissingError: the program is not there.
    """
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except FileNotFoundError as error:
            raise errors.ToolMissingError(f"{argv[0]} is not on this machine") from error
    # Never waited for here: it is found again by its record. Marked as ended so that Python does not warn of it.
    process.returncode = 0
    return Started(process.pid, _stat(process.pid)[1])


def alive(started: Started) -> bool:
    """Whether that very process still runs; a zombie does not."""
    try:
        state, ticks = _stat(started.pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return ticks == started.ticks and state not in "ZX"


def end(started: Started, number: signal.Signals = signal.SIGKILL, *, timeout_seconds: float = 10) -> None:
    """Send `number` to that very process, if it still runs, and wait until it is gone.

    Raises:
        SandboxError: it is still there after `timeout_seconds`.
    """
    try:
        handle = os.pidfd_open(started.pid)
    except ProcessLookupError:
        return
    try:
        if alive(started):
            signal.pidfd_send_signal(handle, number)
        _wait(started, timeout_seconds)
    finally:
        os.close(handle)


def _wait(started: Started, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while alive(started):
        if time.monotonic() > deadline:
            raise errors.SandboxError(f"process {started.pid} does not end")
        time.sleep(0.002)
    _reap(started.pid)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _stat(pid: int) -> tuple[str, int]:
    """State and start time, fields 3 and 22 of `1234 (some name) S 1 …`; the name may hold spaces and brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])
