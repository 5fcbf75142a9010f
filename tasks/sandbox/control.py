"""How the sandbox's listener is told of hosts: one JSON line each way on a socket in the sandbox directory.

{"verb": "open" or "close", "name": "web-1"}  ->  {"error": "" or one line, "hosts": how many are open}
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import store

_SECONDS = 20.0


def open_host(directory: Path, name: str) -> None:
    """Have the listener answer for the host; it is started if it does not run.

    Raises:
        SandboxError: the listener does not start, or cannot listen at the host's address.
    """
    with store.lock(directory / "locks" / "listener"):
        answer = ask(directory, "open", name)
        if answer is None:
            _start(directory)
            answer = ask(directory, "open", name) or {"error": "the listener does not answer"}
    if answer["error"]:
        raise errors.SandboxError(f"host {name} cannot be reached: {answer['error']}")


def close_host(directory: Path, name: str) -> None:
    """Have the listener forget the host; with its last host it ends."""
    with store.lock(directory / "locks" / "listener"):
        answer = ask(directory, "close", name)
        if answer is None or answer["hosts"] == 0:
            stop(directory)


def stop(directory: Path) -> None:
    """End the listener that is recorded, if it runs."""
    record = directory / "listener.json"
    with contextlib.suppress(FileNotFoundError):
        daemon.end(daemon.Started(**json.loads(record.read_text())))
    record.unlink(missing_ok=True)
    (directory / "listener.sock").unlink(missing_ok=True)


def ask(directory: Path, verb: str, name: str) -> dict[str, object] | None:
    """The listener's answer; None if there is none."""
    with socket.socket(socket.AF_UNIX) as connection, short(directory) as path:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(path)
            connection.sendall(json.dumps({"verb": verb, "name": name}).encode() + b"\n")
            line = connection.makefile("rb").readline()
        except OSError:
            return None
    answer: dict[str, object] | None = json.loads(line) if line else None
    return answer


@contextlib.contextmanager
def short(directory: Path) -> Iterator[str]:
    """A path of the listener's socket that fits into the 108 bytes a socket's address has, however deep it lies."""
    handle = os.open(directory, os.O_PATH)
    try:
        yield f"/proc/self/fd/{handle}/listener.sock"
    finally:
        os.close(handle)


def python_path() -> str:
    """Where this process finds modules beside its interpreter's own, for one like it to find them too.

    The folder that it was started in is none: it may be another one the next time, and may hold anything.
    """
    ours, here = str(Path(__file__).parents[2]), str(Path.cwd())
    found = (path for path in dict.fromkeys((ours, *sys.path)) if path and (path == ours or path != here))
    return os.pathsep.join(path for path in found if not path.startswith((sys.prefix, sys.base_prefix)))


def _start(directory: Path) -> None:
    stop(directory)
    argv = (sys.executable, "-P", "-m", "tasks.sandbox.listener", str(directory))
    env = {"PATH": daemon.PATH, "PYTHONPATH": python_path(), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(Path.home())}
    listener = daemon.start_detached(argv, cwd=Path("/"), env=env, log=directory / "listener.log")
    store.write(directory / "listener.json", json.dumps(asdict(listener)))
    deadline = time.monotonic() + _SECONDS
    while ask(directory, "ping", "") is None:
        if not daemon.alive(listener) or time.monotonic() > deadline:
            tail = (directory / "listener.log").read_text(errors="replace")[-2000:]
            raise errors.SandboxError("the sandbox's listener does not start", output_tail=tail)
        time.sleep(0.01)
