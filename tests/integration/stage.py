"""Stage: a Redis of the test's own, workers behind proxies, and runs whose steps run a small real program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from tasks import workflows
from tests.faults import chaos_world, server
from tests.faults.chaos_check import ENDED
from tests.faults.chaos_workflow import CHAOS
from tests.faults.chaos_world import Worker, World
from tests.support import poll
from workers.celery import app
from workers.launch import Launcher, Request
from workers.records import RunRecord
from workers.runtime import Base


@contextmanager
def running(folder: Path, monkeypatch: pytest.MonkeyPatch, *, each: int, **redis_options: str) -> Iterator[World]:
    """A Redis, and `each` workers for either queue, while the block lasts."""
    with server.running(folder / "redis", **redis_options) as redis_server:
        for name, value in chaos_world.surroundings(folder, redis_server.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setitem(workflows.WORKFLOWS, CHAOS.name, CHAOS)  # type: ignore[arg-type]  # read-only for others
        monkeypatch.setattr(app.conf, "broker_url", redis_server.url)
        app._after_fork()  # its connections are to the Redis of the tests before
        try:
            with chaos_world.workers(folder, redis_server, each=each) as found:
                yield found
        finally:
            app._after_fork()


def launch(
    base: Base, seconds: float, count: int = 3, step: str = "first", name: str = "web", **labels: str
) -> list[str]:
    """Runs whose `step` takes so many seconds, and the others moments; when it has to go on again, it is short too."""
    launcher = Launcher(base, app)
    specs = [_spec(f"{name}-{number}", {step: str(seconds), **labels}) for number in range(count)]
    return [launcher.launch(Request(spec, (CHAOS.name,), "tester", "test")).run for spec in specs]


def _spec(name: str, labels: dict[str, str]) -> EnvironmentSpec:
    content = {"name": name, "provider": {"name": "existing", "address": "127.1.2.3"}, "ssh": {"key": "env:K"}}
    return EnvironmentSpec.model_validate(content | {"labels": {"draw": "1", "fails": "0", "seconds": "0.2"} | labels})


def ended(base: Base, runs: list[str], seconds: float = 90) -> list[RunRecord]:
    """The runs, once all have ended."""
    poll(lambda: all(record.status in ENDED for record in base.store.runs(runs).values()), seconds=seconds, every=0.3)
    return [base.store.run(run) for run in runs]


def at_host(world: World, word: str, step: str = "") -> list[list[str]]:
    """The lines of the host's log that begin with `word`: environment, step, scope, seconds, status."""
    lines = (line.split() for line in (world.folder / "host.log").read_text().splitlines())
    return [line[1:] for line in lines if line[0] == word and step in ("", line[2])]


def events(base: Base, run: str) -> Counter[str]:
    """How often each thing has happened to a run."""
    return Counter(event["event"] for event in base.store.events(run))


def at_work(world: World, base: Base, run: str) -> Worker:
    """The worker that runs the run's step."""
    name = base.store.run(run).worker
    return next(worker for worker in world.workers if f"{worker.name}@chaos" == name)


def harmless(world: World) -> None:
    """Nothing ran at once with anything, nothing twice in one epoch, and nothing is left."""
    assert at_host(world, "overlap") == []
    assert max(Counter((line[1], line[2]) for line in at_host(world, "start")).values()) == 1
    assert world.tools() == {}
