"""Start and end programs that outlive, or serve, the program that starts them: what the sandbox's hosts consist of."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
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
    return started(process.pid)


def call(argv: tuple[str, ...], *, timeout_seconds: float, text: str = "", env: Mapping[str, str] | None = None) -> str:
    """Run a short program of this machine to its end, `text` as its input; returns its standard output.

    Raises:
        SandboxError: it ended with a non-zero status, or not in time.
        ToolMissingError: the program is not there.
    """
    command = shlex.join(argv)
    try:
        done = subprocess.run(
            argv, input=text, env=env, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except FileNotFoundError as error:
        raise errors.ToolMissingError(f"{argv[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise errors.SandboxError(f"{argv[0]} did not end in {timeout_seconds:g} s", command) from error
    if done.returncode:
        tail = (done.stdout + done.stderr)[-4000:]
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise errors.SandboxError(f"{argv[0]} failed: {last[:300]}", command, done.returncode, tail)
    return done.stdout


async def spawn(argv: tuple[str, ...], *, stdin: int, stdout: int, stderr: int) -> asyncio.subprocess.Process:
    """Start `argv` in a session of its own on those file descriptors (or `asyncio.subprocess.PIPE`)."""
    return await asyncio.create_subprocess_exec(
        *argv, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )


async def serve(argv: tuple[str, ...], connection: socket.socket, log: Path) -> None:
    """Run `argv` with `connection` as its input and output, as inetd does, and wait for its end."""
    with connection, log.open("ab") as said:
        process = await spawn(argv, stdin=connection.fileno(), stdout=connection.fileno(), stderr=said.fileno())
    await process.wait()


def alive(process: Started) -> bool:
    """Whether that very process still runs; a zombie does not."""
    try:
        state, ticks = _stat(process.pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return ticks == process.ticks and state not in "ZX"


def end(process: Started, number: signal.Signals = signal.SIGKILL, *, timeout_seconds: float = 10) -> None:
    """Send `number` to that very process, if it still runs, and wait until it is gone.

    Raises:
        SandboxError: it is still there after `timeout_seconds`.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if alive(process):
            signal.pidfd_send_signal(handle, number)
        _wait(process, timeout_seconds)
    finally:
        os.close(handle)


def _wait(process: Started, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while alive(process):
        if time.monotonic() > deadline:
            raise errors.SandboxError(f"process {process.pid} does not end")
        time.sleep(0.002)
    _reap(process.pid)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def started(pid: int) -> Started:
    """The running process of that number.

    Raises:
        FileNotFoundError: there is none.
    """
    return Started(pid, _stat(pid)[1])


def _stat(pid: int) -> tuple[str, int]:
    """State and start time, fields 3 and 22 of `1234 (some name) S 1 …`; the name may hold spaces and brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])
