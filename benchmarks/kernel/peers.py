"""Peer: another system, in a virtual environment of its own, with what it needs around it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import redis

from benchmarks.kernel import postgres, shape, steps
from tests.support import poll

ROOT = Path(__file__).parents[2]
HELD = "opentofu-apply"
_ASKED_SECONDS = 60.0
_STILL_SECONDS = 20.0
_LATER_SECONDS = 30.0


@dataclass(frozen=True)
class Peer:
    """A system. program: of `benchmarks/peer`. packages: for pip; none: it runs where we do. server: its own.

    workflows: how many of 13 steps are measured. setup: how it keeps what must not be lost.
    """

    name: str
    program: str
    packages: tuple[str, ...]
    workflows: int
    setup: str
    server: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rate:
    """How fast it was. left: steps that did not run at all, though nothing went wrong."""

    steps_a_second: float
    left: int


@dataclass(frozen=True)
class Answer:
    """What it says of the running step after its workers were killed. seconds: until it named it; None: it did not."""

    seconds: float | None
    at_once: str
    later: str


@dataclass(frozen=True)
class Place:
    """Where peers run. database: URL of a PostgreSQL, if there is one. venvs: where their environments are kept."""

    folder: Path
    client: redis.Redis
    database: str | None
    venvs: Path

    def install(self, peer: Peer) -> str:
        """Make its environment, unless it is there. Why it cannot be; empty: it is."""
        if not peer.packages or (self.venvs / peer.program / "installed").exists():
            return ""
        venv = self.venvs / peer.program
        try:
            _run((sys.executable, "-m", "venv", "--clear", str(venv)), dict(os.environ))
            _run((str(venv / "bin" / "pip"), "install", "--quiet", *peer.packages), dict(os.environ))
        except subprocess.CalledProcessError as error:
            return f"it cannot be installed: {error.stderr.strip().splitlines()[-1]}"
        (venv / "installed").touch()
        return ""

    def version(self, peer: Peer) -> str:
        """Of the system, as pip says it."""
        if not peer.packages:
            return peer.name
        name = peer.packages[0].partition(">")[0].partition("[")[0]
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        return f"{peer.name} {_run((self._python(peer), '-c', code), dict(os.environ)).strip()}"

    def rate(self, peer: Peer) -> Rate:
        """How fast it does work that waits for its workers, from the first step that runs to the last one."""
        total = peer.workflows * len(shape.STEPS)
        with self._surroundings(peer) as environment:
            self._call(peer, environment, "send", peer.workflows)
            with self._working(peer, environment, peer.workflows):
                poll(steps.counted, seconds=120, every=0.002)
                began, before = time.monotonic(), steps.counted()
                ended = _last_step(total)
        ran = steps.counted()
        return Rate((ran - before) / (ended - began), total - ran)

    def killed(self, peer: Peer, after_seconds: float) -> Answer:
        """What it says when all its workers were killed so long after a step had begun."""
        with self._surroundings(peer) as environment:
            self._call(peer, environment, "send", 1)
            with self._working(peer, environment | {steps.HOLD: HELD}, 1):
                poll(lambda: steps.counted() > shape.STEPS.index(HELD), seconds=120)
                time.sleep(after_seconds)
            killed_at = time.monotonic()
            at_once = said = self._call(peer, environment, "where")
            while HELD not in said and time.monotonic() - killed_at < _ASKED_SECONDS:
                time.sleep(1)
                said = self._call(peer, environment, "where")
            seconds = time.monotonic() - killed_at if HELD in said else None
            time.sleep(max(0.0, killed_at + _LATER_SECONDS - time.monotonic()))
            return Answer(0.0 if HELD in at_once else seconds, at_once, self._call(peer, environment, "where"))

    def _python(self, peer: Peer) -> str:
        return str(self.venvs / peer.program / "bin" / "python") if peer.packages else sys.executable

    def _argv(self, peer: Peer, *words: object) -> tuple[str, ...]:
        return (self._python(peer), "-m", f"benchmarks.peer.{peer.program}_program", *map(str, words))

    def _call(self, peer: Peer, environment: dict[str, str], *words: object) -> str:
        return _run(self._argv(peer, *words), environment).strip()

    @contextmanager
    def _working(self, peer: Peer, environment: dict[str, str], count: int) -> Iterator[None]:
        with _process(self._argv(peer, "work", count), environment, self.folder / f"{peer.program}.log"):
            yield

    @contextmanager
    def _surroundings(self, peer: Peer) -> Iterator[dict[str, str]]:
        """An empty Redis, an empty database, its own server; the variables that its processes read."""
        self.client.flushall()
        Path(os.environ[steps.COUNT_FILE]).unlink(missing_ok=True)
        home = self.folder / f"{peer.program}-home"
        shutil.rmtree(home, ignore_errors=True)
        environment = dict(os.environ) | self._variables(peer, home)
        if not peer.server:
            yield environment
            return
        log = self.folder / f"{peer.program}-server.log"
        server = (str(Path(self._python(peer)).with_name(peer.server[0])), *peer.server[1:])
        # Not in our checkout, nor with it on the path: it takes settings from the folder that it is started in.
        with _process(server, {**environment, "PYTHONPATH": ""}, log, cwd=self.folder):
            poll(lambda: _healthy(environment["PREFECT_API_URL"]), seconds=90)
            yield environment

    def _variables(self, peer: Peer, home: Path) -> dict[str, str]:
        redis_url = os.environ["STEPMARK_REDIS_URL"]
        url = postgres.fresh(self.database, peer.program) if self.database else f"sqlite:///{home}.db"
        server = "http://127.0.0.1:4286/api"
        asynchronous = url.replace("postgresql:", "postgresql+asyncpg:").replace("sqlite:", "sqlite+aiosqlite:")
        return {
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(self._python(peer)).parent}:{os.environ['PATH']}",
            "BENCHMARK_REDIS_URL": redis_url,
            "BENCHMARK_DATABASE_URL": url,
            "DIRECTOR_HOME": str(home),
            "DIRECTOR_DATABASE_URI": url,
            "DIRECTOR_BROKER_URI": redis_url,
            "DIRECTOR_RESULT_BACKEND_URI": redis_url,
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_API_DATABASE_CONNECTION_URL": asynchronous,
            "PREFECT_LOGGING_LEVEL": "WARNING",
            **({"PREFECT_API_URL": server} if peer.server else {}),
        }


def _healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2) as answer:  # noqa: S310 - our own, on loopback
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _last_step(total: int) -> float:
    """When the last of `total` steps ran, on the monotonic clock; or the last that ran at all: none did for long."""
    count, moved_at = steps.counted(), time.monotonic()
    while count < total and time.monotonic() < moved_at + _STILL_SECONDS:
        time.sleep(0.005)
        if (now := steps.counted()) != count:
            count, moved_at = now, time.monotonic()
    return moved_at


def _run(argv: tuple[str, ...], environment: dict[str, str]) -> str:
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=600)
    return done.stdout


@contextmanager
def _process(argv: tuple[str, ...], environment: dict[str, str], log: Path, cwd: Path = ROOT) -> Iterator[None]:
    """A process group while the block lasts; then it is killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=cwd, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
