"""Fixtures of the integration tests: real workers as processes, whose steps are scripted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks import workflows
from tasks.failure import RunStatus
from tests.faults import server
from tests.integration import scripted
from tests.support import poll
from workers import readiness, runtime
from workers.firing import Firings
from workers.launch import Launcher, Request
from workers.records import RunRecord
from workers.registry import Registry
from workers.runtime import Base
from workers.schedule import Schedules
from workers.tracker import Place

ROOT = Path(__file__).parents[2]
ENDED = {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}

StartWorker = Callable[..., subprocess.Popen[bytes]]
Launch = Callable[..., Place]


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost worker is known after two seconds."""
    monkeypatch.setenv("STEPMARK_LEASE_SECONDS", "2")
    monkeypatch.setenv("STEPMARK_GRACE_SECONDS", "0.5")


@pytest.fixture(scope="session")
def tls_program() -> Path:
    """A redis-server with TLS; without one the test is skipped, but not in CI."""
    program = server.with_tls()
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no redis-server with TLS: Debian package redis-tools")
    return program


@pytest.fixture(autouse=True)
def _time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has just come, on a machine that does other things too, is asked what it lacks."""
    monkeypatch.setattr(readiness, "_ANSWER_SECONDS", 4.0)


@pytest.fixture
def settings(short_leases: None, settings: Settings) -> Settings:
    """The settings of the test, with short leases."""
    return settings


@pytest.fixture
def base(settings: Settings) -> Base:
    """What an operator's process has."""
    return runtime.base(settings)


@pytest.fixture
def steps_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which each scripted step writes `ENVIRONMENT TASK` when it runs."""
    path = tmp_path / "steps.log"
    path.touch()
    monkeypatch.setenv("SCRIPTED_LOG", str(path))
    return path


@pytest.fixture
def start_worker(settings: Settings, steps_log: Path, tmp_path: Path) -> Iterator[StartWorker]:
    """Start a worker process; all are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *options: str, app: str = "tests.integration.scripted_worker", **variables: str
    ) -> subprocess.Popen[bytes]:
        name = f"w{len(started)}@test"
        argv = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", name]
        log = (tmp_path / f"{name}.log").open("wb")
        worker = subprocess.Popen(
            [*argv, "-Q", "wait,tools", "-P", "prefork", "-c", "2", "-l", "INFO", *options],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    for worker in started:
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)


@pytest.fixture
def worker(base: Base, start_worker: StartWorker) -> subprocess.Popen[bytes]:
    """One worker, which is there."""
    process = start_worker()
    poll(lambda: Registry(base.client, base.keys).workers())
    return process


@pytest.fixture
def launcher(base: Base, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Launches as an operator does. The app of this process has read its settings before: it is told where Redis is."""
    monkeypatch.setattr(scripted.app.conf, "broker_url", base.settings.redis_url.get_secret_value())
    scripted.forget_connections()
    for name, workflow in scripted.OURS.items():
        monkeypatch.setitem(workflows.WORKFLOWS, name, workflow)
    return Launcher(base, scripted.app)


@pytest.fixture
def kept(base: Base) -> Schedules:
    """The schedules in Redis."""
    return Schedules(base.client, base.keys)


@pytest.fixture
def firings(base: Base, launcher: Launcher) -> Firings:
    """As a worker has them."""
    return Firings(base, scripted.app)


def spec(name: str = "web-1", **labels: str) -> EnvironmentSpec:
    """An environment whose labels tell the scripted steps what to do."""
    return EnvironmentSpec.model_validate(
        {
            "name": name,
            "provider": {"name": "existing", "address": "127.1.2.3"},
            "ssh": {"key": "env:KEY"},
            "labels": {name.replace("_", "-"): value for name, value in labels.items()},
        }
    )


def request(environment: EnvironmentSpec, *workflows: str, **more: object) -> Request:
    """A launch of these workflows (provision) by a tester."""
    return Request(environment, workflows or ("provision",), "tester@here", "test", **more)  # type: ignore[arg-type]


def ended(base: Base, run: str, *, seconds: float = 60) -> RunRecord:
    """The run, once it has ended."""
    poll(lambda: base.store.run(run).status in ENDED, seconds=seconds)
    return base.store.run(run)
