"""Surroundings: what the demo needs around it, all of its own: a folder, a Redis, keys and workers."""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from pydantic import SecretStr

from config import celeryconfig
from config.settings import Settings, complete
from tasks.adapters import children, daemon, ssh
from tasks.adapters.daemon import Started
from tasks.errors import SandboxError
from workers import connection, crew, crypto
from workers.demo import redisserver

_KEY_VARIABLE = "STEPMARK_DEMO_KEY"
_WORKERS = 2
_WORKERS_SECONDS = 90.0
_END_SECONDS = 60.0
# A worker of the demo that is killed is known soon; its tools are short.
_LEASE_SECONDS = "8"


@dataclass(frozen=True)
class Surroundings:
    """directory: private, and removed afterwards. variables: what differs in the environment of all that runs here.

    worker: the process that both workers are under.
    """

    directory: Path
    variables: dict[str, str]
    worker: Started

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that runs here."""
        return {**crew.environment(), **self.variables}

    @property
    def sandbox(self) -> Path:
        """Where its hosts are."""
        return Path(self.variables["STEPMARK_DATA_DIR"]) / "sandbox"

    @property
    def login_key(self) -> str:
        """The private key that opens its hosts."""
        return self.variables[_KEY_VARIABLE]

    def exports(self) -> list[str]:
        """What a shell must be told so that `stepmark` in it works here; the login key is only the workers'."""
        return [
            f"export {name}={shlex.quote(value)}" for name, value in self.variables.items() if name != _KEY_VARIABLE
        ]

    def ending(self) -> str:
        """The command that ends workers and Redis, and removes the files."""
        redis_server = self.directory / "redis" / "redis.pid"
        servers = f" $(cat {redis_server})" if redis_server.exists() else ""
        return f"kill {self.worker.pid}{servers}; rm -r {self.directory}"


@contextmanager
def made(given_url: str | None, *, keep: bool, remove: Callable[[Path], None]) -> Iterator[Surroundings]:
    """Everything while the block lasts. given_url: of a Redis that runs. keep: leave it all there afterwards.

    remove: called with the sandbox's directory at the end, when no worker can make hosts any more.

    Raises:
        RedisMissingError: no Redis program is here.
        SandboxError: Redis or the workers do not start.
    """
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="stepmark-demo-"))  # 0700
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        url = given_url or _redis(directory, stack, keep=keep)
        variables = _variables(directory, url)
        settings = complete(Settings(redis_url=SecretStr(url), key_prefix=variables["STEPMARK_KEY_PREFIX"]))
        stack.callback(remove, directory / "data" / "sandbox")
        stack.callback(_forget, settings)
        worker = _start(directory, variables, keep=keep)
        # Not TERM: nobody waits for the steps that may still run.
        stack.callback(daemon.end, worker, signal.SIGQUIT, timeout_seconds=_END_SECONDS)
        _await_workers(settings, worker, directory / "workers.log")
        yield Surroundings(directory, variables, worker)
        if keep:
            stack.pop_all()


def _redis(directory: Path, stack: ExitStack, *, keep: bool) -> str:
    process, url = redisserver.start(_folder(directory, "redis"), tied=not keep)
    stack.callback(daemon.end, process, signal.SIGTERM)
    return url


def _folder(directory: Path, name: str) -> Path:
    made = directory / name
    made.mkdir(mode=0o700)
    return made


def _variables(directory: Path, url: str) -> dict[str, str]:
    key_file = directory / "encryption.key"
    crypto.create(key_file)
    private, _ = ssh.generate_host_key()
    return {
        "STEPMARK_REDIS_URL": url,
        "STEPMARK_KEY_PREFIX": f"stepmark-demo-{secrets.token_hex(4)}",
        "STEPMARK_ENCRYPTION_KEY_FILE": str(key_file),
        "STEPMARK_DATA_DIR": str(_folder(directory, "data")),
        "STEPMARK_LEASE_SECONDS": _LEASE_SECONDS,
        _KEY_VARIABLE: private,
    }


def _start(directory: Path, variables: dict[str, str], *, keep: bool) -> Started:
    argv = (sys.executable, "-m", "workers.cli", "worker")
    environment = {**crew.environment(), **variables}
    log = directory / "workers.log"
    return daemon.start_detached(argv if keep else children.tied(argv), cwd=directory, env=environment, log=log)


def _await_workers(settings: Settings, worker: Started, log: Path) -> None:
    deadline = time.monotonic() + _WORKERS_SECONDS
    while _answering(settings) < _WORKERS:
        if not daemon.alive(worker) or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise SandboxError("the demo's workers do not start", output_tail=tail)


def _answering(settings: Settings) -> int:
    app = Celery(set_as_current=False)
    app.conf.update(celeryconfig.build(settings))
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=2)
        return len(app.control.ping(timeout=0.5, connection=broker))


def _forget(settings: Settings) -> None:
    """Remove what the demo kept in a Redis that goes on."""
    with connection.client(settings) as client:
        for key in client.scan_iter(f"{settings.key_prefix}:*"):
            client.delete(key)
