"""Nursery: has a process that has Ansible loaded fork plays, each under a guard of its own, instead of starting Python.

What that saves, and why hosts are not gathered into one play: docs/decisions/0046-plays-come-from-a-nursery.md.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Protocol

from tasks.adapters import scratch

logger = logging.getLogger(__name__)

# Ansible loads in half a second; a busy machine takes its time.
LOAD_SECONDS = 20.0
ANSWER_SECONDS = 5.0
_PROCESS = Path(__file__).with_name("nursery_process.py")


class Child(Protocol):
    """A guard that was started: as much of `subprocess.Popen` as is needed of it."""

    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def wait(self, timeout: float | None = None) -> object:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it did not come.
        """

    def kill(self) -> None:
        """Kill it."""


@dataclass(frozen=True)
class Request:
    """What to run. times: as `guard.main` takes them. stdin, control: descriptors, of the program and of the guard."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    times: tuple[float, ...]
    stdin: int
    control: int


class Nursery:
    """One process at most, started when it is first needed. Any thread may call anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usable = True
        self._loaded: _Loaded | None = None

    def start(self, request: Request) -> Child | None:
        """The guard of a play that begins; None: there is no nursery, the play has to load Ansible itself."""
        with self._lock:
            for _ in range(2):  # one that has died meanwhile is replaced
                if (loaded := self._ready(request)) is None:
                    return None
                try:
                    return _ask(loaded.requests, request)
                except OSError as error:
                    logger.warning("The process that has Ansible loaded does not answer: %s", error)
                    self._end()
        return None

    def close(self) -> None:
        """End the process. Plays that it has forked go on."""
        with self._lock:
            self._end()

    def _ready(self, request: Request) -> _Loaded | None:
        if self._loaded is None and self._usable:
            self._loaded = _Loaded(request.env)
            try:
                self._loaded.wait()
            except OSError as error:
                logger.warning("Ansible is not kept loaded, each play loads it: %s", error)
                self._usable = isinstance(error, TimeoutError)  # it may be faster another time
                self._end()
        return self._loaded

    def _end(self) -> None:
        if self._loaded is not None:
            self._loaded.end()
        self._loaded = None


class _Loaded:
    """The process, and the socket to it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._home = scratch.made("ansible")
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_PROCESS), str(theirs.fileno())],
                env=_environment(env, str(self._home)),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    def wait(self) -> None:
        """Wait until it has loaded all.

        Raises:
            TimeoutError: it takes too long. OSError: it has ended.
        """
        self.requests.settimeout(LOAD_SECONDS)
        if self.requests.recv(16) != b"ready":
            said = (self._home / "log").read_text(errors="replace").splitlines() if self._home.exists() else []
            raise ChildProcessError(said[-1] if said else "it ended without a word")
        self.requests.settimeout(ANSWER_SECONDS)

    def end(self) -> None:
        self.requests.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


class _Forked:
    """A guard that is the nursery's child, not ours. handle: of its process; its number alone may come again."""

    def __init__(self, handle: int, stdout: int, stderr: int) -> None:
        self._handle = handle
        self._ended = False
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb", 0)
        self.stderr: IO[bytes] | None = os.fdopen(stderr, "rb", 0)

    def wait(self, timeout: float | None = None) -> None:
        if self._ended:
            return
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired("guard", timeout or 0)
        self._ended = True
        os.close(self._handle)

    def kill(self) -> None:
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)


def _ask(requests: socket.socket, request: Request) -> _Forked:
    """Have a guard forked, and let it begin.

    Raises:
        OSError: there was no answer; what may have been forked all the same ends, and begins nothing.
    """
    content = {"argv": request.argv, "cwd": str(request.cwd), "env": dict(request.env), "times": request.times}
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        (out, stdout), (err, stderr), (waiting, gate) = os.pipe(), os.pipe(), os.pipe()
        for each in (stdout, stderr, waiting, gate):
            theirs.callback(os.close, each)
        for each in (out, err):
            ours.callback(os.close, each)
        files = [request.stdin, stdout, stderr, request.control, waiting]
        socket.send_fds(requests, [json.dumps(content).encode()], files)
        _, handles, _, _ = socket.recv_fds(requests, 64, 1)
        if not handles:
            raise ConnectionResetError("it has ended")
        os.write(gate, b"!")
        ours.pop_all()
        return _Forked(handles[0], out, err)


def _environment(plays: Mapping[str, str], home: str) -> dict[str, str]:
    """Of a play's environment, what all plays have in common."""
    common = {name: value for name, value in plays.items() if not name.startswith(("ANSIBLE_", "STEPMARK_"))}
    return {**common, "ANSIBLE_CONFIG": plays["ANSIBLE_CONFIG"], "ANSIBLE_HOME": home, "ANSIBLE_LOCAL_TEMP": home}


def of_process() -> Nursery:
    """This process's own; a child that was forked does not share it."""
    return _of(os.getpid())


@lru_cache(maxsize=1)
def _of(pid: int) -> Nursery:  # noqa: ARG001 - the key of the cache
    return Nursery()
