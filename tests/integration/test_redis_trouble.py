"""Redis goes away, is full, read-only, locked or slow: workers come back by themselves; nothing is lost or doubled."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.failure import RunStatus
from tests.faults import chaos_world
from tests.faults.chaos_world import LEASE_SECONDS, World, kill
from tests.integration import stage
from tests.integration.stage import at_host, ended, events, launch
from tests.support import poll
from workers import restarts, runtime
from workers.runtime import Base
from workers.tracker import Why

SHORT, LONG = LEASE_SECONDS / 3, LEASE_SECONDS * 2
Trouble = Callable[[World, float], None]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Base]]:
    """A Redis, and a worker for each queue, which outlive one trouble after the other."""
    with (
        pytest.MonkeyPatch.context() as patch,
        stage.running(tmp_path_factory.mktemp("trouble"), patch, each=1) as world,
    ):
        yield world, runtime.base(Settings())


@pytest.fixture
def world(lasting: tuple[World, Base]) -> World:
    """The processes; the host's log is empty, and Redis has been there for long enough."""
    poll(lambda: not restarts.quiet_seconds(lasting[1]))
    (lasting[0].folder / "host.log").write_text("")
    return lasting[0]


@pytest.fixture
def base(lasting: tuple[World, Base]) -> Base:
    """What the operator has."""
    return lasting[1]


def cut(world: World, seconds: float) -> None:
    """The network between the workers and Redis is down."""
    for worker in world.workers:
        worker.proxy.cut()
    time.sleep(seconds)
    for worker in world.workers:
        worker.proxy.restore()


def stalled(world: World, seconds: float) -> None:
    """The network between the workers and Redis swallows everything, and says nothing."""
    for worker in world.workers:
        worker.proxy.stall()
    time.sleep(seconds)
    for worker in world.workers:
        worker.proxy.restore()


def slow(world: World, seconds: float) -> None:
    """Every answer takes .6 s longer."""
    for worker in world.workers:
        worker.proxy.delay(0.3)
    time.sleep(seconds)
    for worker in world.workers:
        worker.proxy.restore()


def stopped(world: World, seconds: float) -> None:
    """Redis does nothing: a slow command, a swapping machine."""
    world.redis.signal(signal.SIGSTOP)
    time.sleep(seconds)
    world.redis.signal(signal.SIGCONT)


def killed(world: World, seconds: float) -> None:
    """Redis is killed, and started again."""
    world.redis.kill()
    time.sleep(seconds)
    world.redis.start()


def full(world: World, seconds: float) -> None:
    """Redis has no memory left."""
    world.redis.client.config_set("maxmemory", "100kb")
    time.sleep(seconds)
    world.redis.client.config_set("maxmemory", "0")


def read_only(world: World, seconds: float) -> None:
    """Redis is a replica for a while, of a primary that does not answer: a fail-over that is taken back."""
    world.redis.client.replicaof("127.0.0.1", "1")
    time.sleep(seconds)
    world.redis.client.replicaof("NO", "ONE")


def locked(world: World, seconds: float) -> None:
    """Redis's password is another one than the workers', for whoever connects."""
    world.redis.client.config_set("requirepass", "another")
    world.redis.client.execute_command("AUTH", "another")
    world.redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(seconds)
    world.redis.client.config_set("requirepass", "")


TROUBLES: tuple[Trouble, ...] = (cut, stalled, stopped, killed, full, read_only, locked)


def _pids(world: World) -> list[int]:
    return [worker.pid for worker in world.workers if worker.alive]


def _untouched(world: World, pids: list[int]) -> None:
    """The same worker processes have gone on."""
    assert _pids(world) == pids
    stage.harmless(world)


@pytest.mark.parametrize("trouble", [*TROUBLES, slow], ids=lambda trouble: trouble.__name__)
def test_shorter_than_the_lease_nothing_is_interrupted(trouble: Trouble, world: World, base: Base) -> None:
    pids = _pids(world)
    runs = launch(base, 1.5)
    poll(lambda: len(at_host(world, "start")) == 3)

    trouble(world, LONG if trouble is slow else SHORT)

    for record in ended(base, runs):
        assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 1), record.failure
    assert at_host(world, "interrupted") == []
    _untouched(world, pids)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_longer_than_the_lease_tools_are_ended_and_runs_go_on(trouble: Trouble, world: World, base: Base) -> None:
    pids = _pids(world)
    runs = launch(base, 30)
    poll(lambda: len(at_host(world, "start")) == 3)

    trouble(world, LONG)

    for record in ended(base, runs):
        assert record.status is RunStatus.SUCCEEDED, record.failure
    assert len(at_host(world, "interrupted")) == 3
    _untouched(world, pids)


def test_a_step_whose_start_is_not_recorded_begins_later(world: World, base: Base) -> None:
    """Its message has been taken, and Redis refuses to write that it begins: it waits, and nothing fails."""
    wait = next(worker for worker in world.workers if worker.queue == "wait")
    wait.signal(signal.SIGSTOP)
    runs = launch(base, 0.2)
    world.redis.client.execute_command("ACL", "SETUSER", "default", "-hincrby")
    before = wait.log.read_text().count("Not recorded yet")
    wait.signal(signal.SIGCONT)
    poll(lambda: wait.log.read_text().count("Not recorded yet") >= before + 3)

    world.redis.client.execute_command("ACL", "SETUSER", "default", "+hincrby")

    for record in ended(base, runs):
        assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 1), record.failure
    _untouched(world, _pids(world))


def test_a_process_that_is_killed_before_it_could_record_a_start_fails_nothing(world: World, base: Base) -> None:
    """Nothing ran: the message counts as lost."""
    tools = next(worker for worker in world.workers if worker.queue == "tools")
    tools.signal(signal.SIGSTOP)
    time.sleep(1.5)  # it may still be waiting for a message, and be given one
    [run] = launch(base, 0.2, 1)
    poll(lambda: base.store.run(run).step == "second" and base.client.llen(base.keys.queue("tools")) == 1)
    world.redis.client.execute_command("ACL", "SETUSER", "default", "-hset")
    before = tools.log.read_text().count("Not recorded yet")
    tools.signal(signal.SIGCONT)
    poll(lambda: tools.log.read_text().count("Not recorded yet") > before)
    for pid in tools.children():
        kill(pid, signal.SIGKILL)
    poll(lambda: "had not begun when its process was lost" in tools.log.read_text())

    world.redis.client.execute_command("ACL", "SETUSER", "default", "+hset")

    [record] = ended(base, [run])
    assert record.status is RunStatus.SUCCEEDED, record.failure
    assert events(base, run)["sent-again"] >= 1
    _untouched(world, _pids(world))


def test_a_step_that_has_ended_is_recorded_later(world: World, base: Base) -> None:
    """The tool has done its work, and Redis refuses to write it: it is not done again."""
    runs = launch(base, 1)
    poll(lambda: len(at_host(world, "start")) == 3)
    world.redis.client.execute_command("ACL", "SETUSER", "default", "-hincrby")
    poll(lambda: len(at_host(world, "end")) == 3)
    time.sleep(LONG)

    world.redis.client.execute_command("ACL", "SETUSER", "default", "+hincrby")

    for record in ended(base, runs):
        assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 1), record.failure
    _untouched(world, _pids(world))


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_with_an_append_only_file_a_killed_redis_forgets_nothing(
    fsync: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not those writes that were not on the disk yet: the system has them, and it was not killed."""
    with stage.running(tmp_path, monkeypatch, each=1, appendfsync=fsync) as world:
        base = runtime.base(Settings())
        runs = launch(base, 0.2, 10)
        for _ in range(4):
            time.sleep(1)
            world.redis.restart()

        for record in ended(base, runs):
            assert record.status is RunStatus.SUCCEEDED, record.failure
        stage.harmless(world)


def test_without_a_file_a_killed_redis_forgets_all_and_tools_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage.running(tmp_path, monkeypatch, each=1, appendonly="no") as world:
        base = runtime.base(Settings())
        pids = _pids(world)
        runs = launch(base, 30)
        poll(lambda: len(at_host(world, "start")) == 3)

        world.redis.restart()

        poll(lambda: not world.tools(), seconds=LEASE_SECONDS + base.settings.takeover_seconds)
        assert base.store.runs(runs) == {}
        for record in ended(base, launch(base, 0.2)):
            assert record.status is RunStatus.SUCCEEDED, record.failure
        _untouched(world, pids)


def test_after_a_snapshot_is_restored_a_step_may_run_again_but_never_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with snapshots only, or a replica that had not heard the last writes."""
    with stage.running(tmp_path, monkeypatch, each=1, appendonly="no") as world:
        base = runtime.base(Settings())
        runs = launch(base, 4)
        poll(lambda: len(at_host(world, "start", "first")) == 3)
        world.redis.client.save()
        poll(lambda: at_host(world, "start", "third"))

        world.redis.restart()

        for record in ended(base, runs):
            assert record.status is RunStatus.SUCCEEDED, record.failure
            assert sum(events(base, record.run)[why] for why in Why) == 1
        assert len(at_host(world, "start", "first")) == 6
        stage.harmless(world)


@pytest.mark.parametrize("step", ["first", "second"])
def test_what_was_queued_in_the_snapshot_waits_for_the_tools_of_what_is_forgotten(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message is back too, and other slots are free; the tool that it began takes its time to end."""
    monkeypatch.setattr(chaos_world, "GRACE_SECONDS", 2.0)
    with stage.running(tmp_path, monkeypatch, each=2, appendonly="no") as world:
        (world.folder / "slow").touch()
        base = runtime.base(Settings())
        queue = {"first": "wait", "second": "tools"}[step]
        serving = [worker for worker in world.workers if worker.queue == queue]
        for worker in serving:
            worker.signal(signal.SIGSTOP)
        time.sleep(1.5)  # they may still be waiting for a message, and be given one
        [run] = launch(base, 30, 1, step)
        poll(lambda: base.store.run(run).step == step and base.client.llen(base.keys.queue(queue)) == 1)
        before = base.store.run(run).epoch
        world.redis.client.save()
        for worker in serving:
            worker.signal(signal.SIGCONT)
        poll(lambda: at_host(world, "start", step))

        world.redis.restart()

        [record] = ended(base, [run])
        assert record.status is RunStatus.SUCCEEDED, record.failure
        assert record.epoch > before
        assert len(at_host(world, "start", step)) == 2
        assert len(at_host(world, "interrupted", step)) == 1
        stage.harmless(world)


def test_what_waited_in_the_snapshot_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_world, "GRACE_SECONDS", 2.0)
    with stage.running(tmp_path, monkeypatch, each=2, appendonly="no") as world:
        (world.folder / "slow").touch()
        base = runtime.base(Settings())
        [run] = launch(base, 4, 1, fails="100")
        poll(lambda: base.client.hget(base.keys.run(run), "status") == "waiting", every=0.002)
        world.redis.client.save()
        poll(lambda: len(at_host(world, "start")) == 2)

        world.redis.restart()

        poll(lambda: len(at_host(world, "start")) == 3)
        [record] = ended(base, [run])
        assert record.status is RunStatus.SUCCEEDED, record.failure
        stage.harmless(world)
