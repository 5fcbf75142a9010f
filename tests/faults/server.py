"""A redis-server of the test's own, which can be killed, and started again on the same port with the same files."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support import poll
from workers.demo import redisserver

# Debian's package redis-tools has the whole server under this name; it goes by the name that it is called by.
_CARRIED = Path("/usr/bin/redis-check-rdb")


def programs() -> tuple[Path, ...]:
    """The server programs that are here: the one that all else is tested with, and Debian's, if that is another one."""
    return tuple(
        dict.fromkeys(path.resolve() for path in (redisserver.executable(), _CARRIED) if path and path.exists())
    )


def with_tls() -> Path | None:
    """A program that was built with TLS, which the embedded one was not."""
    return next((path for path in programs() if b"tls-cert-file" in path.read_bytes()), None)


class Server:
    """One server. options: of its configuration, beside the port and the folder; they stand for a set-up to test."""

    def __init__(self, folder: Path, program: Path | None = None, **options: str) -> None:
        self._program = program or programs()[0]
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        password = options.get("requirepass", "")
        login = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{login}127.0.0.1:{self.port}/0"
        chosen = {"appendonly": "yes", "appendfsync": "always", "save": '""', "maxmemory-policy": "noeviction"}
        chosen |= {name.replace("_", "-"): value for name, value in options.items()}
        self._configuration = folder / "redis.conf"
        lines = [f"{name} {value}" for name, value in chosen.items()]
        lines += ["bind 127.0.0.1", f"port {self.port}", f'dir "{folder}"', "daemonize no"]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._log = folder / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis.from_url(
            self.url, decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ("redis-server", str(self._configuration)),
                executable=self._program,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        poll(self._answers, seconds=30)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        """Signal it: to stop it for a while, say."""
        assert self._process
        self._process.send_signal(number)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, program: Path | None = None, **options: str) -> Iterator[Server]:
    """A server while the block lasts."""
    server = Server(folder, program, **options)
    server.start()
    try:
        yield server
    finally:
        server.client.close()
        server.kill()
