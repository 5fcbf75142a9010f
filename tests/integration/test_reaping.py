"""What a reaper finds, look by look, without workers: behind those that are not its own, and after refused scripts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus
from tasks.result import Result
from tests.integration import scripted
from tests.integration.conftest import request, spec
from tests.integration.test_scripts import message
from workers import callbacks, succession
from workers.connection import nonce
from workers.launch import Launcher
from workers.reaper import Reaper
from workers.runtime import Base
from workers.tracker import Ended, Place, Why

WRITES = ("hset", "hincrby", "hdel", "zadd", "zrem", "xadd", "expire", "persist")
_LONG = 1000.0

Deed = Callable[[], object]


@pytest.fixture
def reaper(base: Base, launcher: Launcher) -> Reaper:
    """One that has looked before."""
    found = Reaper(base, scripted.app)
    found.look()
    return found


@contextlib.contextmanager
def refusing(base: Base, command: str) -> Iterator[None]:
    """Redis lets nobody use the command."""
    base.client.execute_command("ACL", "SETUSER", "default", f"-{command}")
    try:
        yield
    finally:
        base.client.execute_command("ACL", "SETUSER", "default", f"+{command}")


def others(base: Base, count: int) -> None:
    """Lost runs of another schema, whose workers are gone: for another reaper."""
    pipe, at = base.client.pipeline(), base.now() - 5 * _LONG
    for number in range(count):
        run = f"f{number:018}"
        status = {"schema": "2", "run": run, "status": "running", "execution": f"{run}.1.1.1.x"}
        pipe.hset(base.keys.run(run), mapping=status)
        pipe.zadd(base.keys.leases(), {f"{run}.1.1.1.x": at})
        pipe.zadd(base.keys.deadlines(), {run: at})
        pipe.zadd(base.keys.retries(), {run: at})
    pipe.execute()


def lost(base: Base, place: Place) -> None:
    """A step that runs on a worker that is dead."""
    execution = base.tracker.start(message(place), "dead@vm1")
    base.client.zadd(base.keys.leases(), {execution.name: base.now() - _LONG})


def due_for_its_retry(base: Base, place: Place) -> None:
    """A step whose time to be tried again has come."""
    base.tracker.start(message(place), "w0@test")
    passing = Failure(Kind.QUOTA, Cause.RAISED, "QuotaError", "too many")
    assert callbacks.end_badly(base, base.store.run(place.run), passing, ())[1] == "waiting"
    base.client.zadd(base.keys.retries(), {place.run: base.now() - _LONG})


@pytest.mark.parametrize("stand", [lost, due_for_its_retry])
def test_those_of_another_schema_hide_nothing(
    stand: Callable[[Base, Place], None], base: Base, launcher: Launcher, reaper: Reaper
) -> None:
    others(base, 450)
    place = launcher.launch(request(spec()))
    stand(base, place)

    reaper.look()

    assert base.store.run(place.run).epoch == 2


def test_a_run_past_its_deadline_is_found_behind_them(base: Base, launcher: Launcher, reaper: Reaper) -> None:
    others(base, 450)
    place = launcher.launch(request(spec()))
    base.client.zadd(base.keys.deadlines(), {place.run: base.now() - 1})

    reaper.look()

    assert base.store.run(place.run).status is RunStatus.FAILED


def end(base: Base, place: Place, index: int) -> Deed:
    """The end of its step at `index`, which runs."""
    execution = base.tracker.start(message(place, index), "w0@test")
    once = nonce()
    return lambda: base.tracker.end(execution, Result(execution.facts), once)


def fail(base: Base, place: Place, retry_seconds: float | None) -> Deed:
    """The bad end of its first step, which runs: for good, or to be tried again."""
    base.tracker.start(message(place), "w0@test")
    record = base.store.run(place.run)
    context = callbacks.describe(base, record, Failure(Kind.QUOTA, Cause.RAISED, "QuotaError", "too many"))
    ended = Ended(record.token, record.execution or "", RunStatus.FAILED, record.next or record.run, retry_seconds)
    once = nonce()
    return lambda: base.tracker.fail(context, ended, once)


def go_on(base: Base, place: Place, why: Why) -> Deed:
    """The beginning of a new epoch."""
    stand = {Why.TAKEN_OVER: lost, Why.HANDED_OVER: lost, Why.RETRY: due_for_its_retry}
    if why in stand:
        stand[why](base, place)
    return lambda: succession.go_on(base, scripted.app, base.store.run(place.run), why)


def last(base: Base, place: Place) -> Deed:
    """The end of the last step of its run, which another one follows."""
    total = base.store.run(place.run).total
    for index in range(1, total):
        end(base, place, index)()
    return end(base, place, total)


def alone(base: Base, place: Place) -> Deed:
    """The same, with nothing after it."""
    base.client.delete(base.keys.run(base.store.run(place.run).next or ""))
    return last(base, place)


DEEDS: dict[str, Callable[[Base, Place], Deed]] = {
    "start": lambda base, place: lambda: base.tracker.start(message(place), "w0@test"),
    "end": lambda base, place: end(base, place, 1),
    "end-then": last,
    "end-last": alone,
    "fail": lambda base, place: fail(base, place, None),
    "fail-retry": lambda base, place: fail(base, place, 0.0),
    **{f"again-{why}": partial(go_on, why=why) for why in Why},
}


def stands(base: Base, run: str) -> None:
    """A live run holds its environment, and is where the reaper looks; one that has ended holds nothing."""
    keys, record = base.keys, base.store.run(run)
    sets = {
        RunStatus.QUEUED: (keys.due(), run),
        RunStatus.RUNNING: (keys.leases(), record.execution or ""),
        RunStatus.WAITING: (keys.retries(), run),
    }
    holder = base.client.hget(keys.environment("web-1"), "run")
    if not record.live:
        assert holder != run
        return
    assert base.client.zscore(*sets[record.status]) is not None
    assert base.client.zscore(keys.deadlines(), run) is not None
    assert holder == run


@pytest.mark.parametrize("then", ["it is asked again", "its worker is dead"])
@pytest.mark.parametrize("command", WRITES)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_script_that_is_refused_in_the_middle_loses_no_run(
    deed: str, command: str, then: str, base: Base, launcher: Launcher, reaper: Reaper
) -> None:
    place = launcher.launch(request(spec(), "plan", "configure"))
    act = DEEDS[deed](base, place)
    with refusing(base, command), contextlib.suppress(redis.RedisError):
        act()

    if then == "it is asked again":
        with contextlib.suppress(Exception):  # it may be refused as stale: others see to it
            act()
    reaper.look()

    stands(base, place.run)
    for following in base.store.runs([base.store.run(place.run).next or ""]).values():
        if following.status is not RunStatus.PENDING:
            stands(base, following.run)
