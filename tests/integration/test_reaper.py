"""The reaper, in real workers: one at a time, without beat, patient after a restart of Redis, and nothing twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.failure import RunStatus
from tests.faults.chaos_world import LEASE_SECONDS, Worker, World
from tests.integration import stage
from tests.integration.stage import at_host, at_work, ended, events, launch
from tests.support import poll
from workers import runtime
from workers.runtime import Base


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A Redis, and two workers for each queue; no beat."""
    with stage.running(tmp_path, monkeypatch, each=2) as found:
        yield found


@pytest.fixture
def base(world: World) -> Base:
    """What the operator has."""
    return runtime.base(Settings())


def _holder(base: Base) -> str | None:
    return base.client.get(base.keys.reaper())


def _reaping(world: World, base: Base) -> Worker:
    """The worker whose reaper works."""
    holder = poll(lambda: _holder(base)).split()[0]
    return next(worker for worker in world.workers if f"{worker.name}@chaos" == holder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_another_worker_reaps_when_the_reaper_dies(number: signal.Signals, world: World, base: Base) -> None:
    """And takes over what the dead worker ran, if it ran something."""
    worker, former = _reaping(world, base), _holder(base)
    runs = launch(base, 30, 4, "first" if worker.queue == "wait" else "second")
    poll(lambda: any(record.worker == f"{worker.name}@chaos" and record.execution for record in _records(base, runs)))

    worker.signal(number, pool=True)

    poll(lambda: _holder(base) not in (None, former), seconds=20)
    lost = [record.run for record in _records(base, runs) if record.worker == f"{worker.name}@chaos"]
    for record in ended(base, lost):
        assert record.status is RunStatus.SUCCEEDED, record.failure
    worker.signal(signal.SIGCONT, pool=True)
    for run in set(runs) - set(lost):
        base.tracker.cancel(base.store.run(run), "tester", "enough")
    ended(base, runs)
    assert at_host(world, "overlap") == []


def _records(base: Base, runs: list[str]) -> list:
    return list(base.store.runs(runs).values())


def test_a_lapsed_lease_is_shown_at_once_and_taken_over_later(world: World, base: Base) -> None:
    settings = base.settings
    [run] = launch(base, 40, 1)
    poll(lambda: at_host(world, "start"))
    worker = at_work(world, base, run)
    worker.signal(signal.SIGKILL)
    killed_at = time.monotonic()

    poll(lambda: base.store.run(run).display is RunStatus.LOST, every=0.02)
    shown = time.monotonic() - killed_at
    poll(lambda: events(base, run)["taken-over"], every=0.02)
    taken = time.monotonic() - killed_at

    assert shown < settings.lease_seconds + 1
    patience = settings.lease_seconds - settings.renew_seconds + settings.takeover_seconds
    assert (
        patience - 0.5 < taken < settings.lease_seconds + settings.takeover_seconds + 15
    )  # the lock may have to expire
    assert ended(base, [run])[0].status is RunStatus.SUCCEEDED
    stage.harmless(world)


def test_a_late_worker_records_nothing(world: World, base: Base) -> None:
    """It stands still until another has taken over, and then goes on: nothing of it is written or sent."""
    [run] = launch(base, 3, 1, "second")
    poll(lambda: at_host(world, "start", "second"))
    worker = at_work(world, base, run)
    worker.signal(signal.SIGSTOP, pool=True)
    [record] = ended(base, [run])
    history = base.store.events(run)
    revision = base.store.environment("web-0").revision

    worker.signal(signal.SIGCONT, pool=True)

    poll(lambda: "The step is no longer ours" in worker.log.read_text())
    time.sleep(1)
    assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 2), record.failure
    assert base.store.events(run) == history
    assert base.store.environment("web-0").revision == revision
    assert len(at_host(world, "start", "third")) == 1
    stage.harmless(world)


def test_after_a_restart_of_redis_nothing_is_taken_over_for_a_lease(world: World, base: Base) -> None:
    """Leases have lapsed meanwhile; their workers get the time to say that they live."""
    [run] = launch(base, 40, 1)
    poll(lambda: at_host(world, "start"))
    worker = at_work(world, base, run)
    worker.signal(signal.SIGSTOP, pool=True)
    poll(lambda: base.store.run(run).display is RunStatus.LOST)
    world.redis.kill()
    time.sleep(base.settings.takeover_seconds + 1)  # by the clock it might be taken over at once

    world.redis.start()

    back = time.monotonic()
    poll(lambda: events(base, run)["taken-over"], every=0.05)
    assert time.monotonic() - back >= LEASE_SECONDS - 0.1
    assert ended(base, [run])[0].status is RunStatus.SUCCEEDED
    worker.signal(signal.SIGCONT, pool=True)
    stage.harmless(world)


def test_a_lost_message_is_sent_again_once(world: World, base: Base) -> None:
    for worker in world.workers:
        if worker.queue == "wait":
            worker.signal(signal.SIGSTOP)
    time.sleep(1)  # a pending BRPOP takes nothing more: its client does not answer
    runs = launch(base, 0.1, 3)
    base.client.delete(base.keys.queue("wait"))
    for worker in world.workers:
        worker.signal(signal.SIGCONT)

    for record in ended(base, runs):
        assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 2), record.failure
        assert events(base, record.run)["sent-again"] == 1
    stage.harmless(world)
