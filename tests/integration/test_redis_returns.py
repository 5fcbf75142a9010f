"""Redis comes back, perhaps at an earlier moment: what it has forgotten never runs beside what it remembers.

It comes back here by having known another `run_id` than its own, as if it had been started from an older file.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus
from tasks.result import Result
from tests.integration import scripted
from tests.integration.conftest import request, spec
from tests.integration.test_scripts import message
from workers import callbacks, restarts, succession
from workers.launch import Launcher, Resumption
from workers.reaper import Reaper
from workers.runtime import Base
from workers.tracker import Place, StaleError, Why

OLD, YOUNG = "come back since it was due", "just come back"
_LONG = 1000.0

Stand = Callable[[Base, Place], object]


@pytest.fixture
def place(launcher: Launcher) -> Place:
    """A run whose first step is due."""
    return launcher.launch(request(spec()))


def come_back(base: Base) -> None:
    """All that is known was written long ago; and now Redis is another one than before."""
    for key, fields in (("run:*", ("due_at", "step_started_at", "ended_at")), ("env:*", ("updated_at",))):
        for name in base.client.keys(f"{base.keys.prefix}:{key}"):
            for field in fields if base.client.type(name) == "hash" else ():
                if base.client.hget(name, field):
                    base.client.hincrbyfloat(name, field, -_LONG)
    for key in (base.keys.due(), base.keys.leases(), base.keys.retries()):
        for member in base.client.zrange(key, 0, -1):
            base.client.zincrby(key, -_LONG, member)
    base.client.hset(base.keys.server(), "run_id", "another")
    assert restarts.quiet_seconds(base) > 0


def let_pass(base: Base) -> None:
    """Have it be so long ago that nothing of before can be left."""
    base.client.hincrbyfloat(base.keys.server(), "back_at", -base.settings.quiet_seconds)


def uncertain(base: Base, run: str) -> set[str]:
    """The places of the steps of which nobody knows what they have done."""
    return {field for field in base.client.hkeys(base.keys.run(run)) if field.startswith("uncertain:")}


def due(base: Base, place: Place) -> None:
    """Its second step is due."""
    execution = base.tracker.start(message(place), "w0@test")
    base.tracker.end(execution, Result(execution.facts))


def running(base: Base, place: Place) -> None:
    """It runs its second step, on a worker that is dead."""
    due(base, place)
    base.tracker.start(message(place, 2), "w0@test")


def waiting(base: Base, place: Place) -> None:
    """Its second step is to be tried again now."""
    running(base, place)
    found = Failure(Kind.QUOTA, Cause.RAISED, "QuotaError", "too many")
    assert callbacks.end_badly(base, base.store.run(place.run), found, ())[1] == "waiting"


def test_in_an_empty_redis_a_step_begins_at_once(base: Base, place: Place) -> None:
    assert restarts.look(base) == 0
    assert base.tracker.start(message(place), "w0@test")


def test_what_was_due_before_never_begins_in_its_epoch(base: Base, place: Place) -> None:
    """It may have begun since, and its worker and its host know it by this epoch."""
    come_back(base)

    with pytest.raises(StaleError, match=OLD):
        base.tracker.start(message(place), "w0@test")
    let_pass(base)
    with pytest.raises(StaleError, match=OLD):
        base.tracker.start(message(place), "w0@test")


def test_the_first_start_notices_it(base: Base, place: Place) -> None:
    """A worker may be faster than the reaper's next look."""
    restarts.look(base)
    base.client.hset(base.keys.server(), "run_id", "another")

    with pytest.raises(StaleError, match=OLD):
        base.tracker.start(message(place), "w0@test")
    assert restarts.quiet_seconds(base) > base.settings.lease_seconds


def test_a_run_whose_worker_is_heard_of_goes_on_at_once(base: Base, place: Place) -> None:
    restarts.look(base)
    execution = base.tracker.start(message(place), "w0@test")
    base.client.hset(base.keys.server(), "run_id", "another")

    base.tracker.end(execution, Result(execution.facts))

    assert not base.tracker.start(message(place, 2), "w0@test").uncertain


def test_a_step_that_is_handed_over_goes_on_at_once(base: Base, launcher: Launcher, place: Place) -> None:
    running(base, place)
    come_back(base)

    answer = succession.go_on(base, scripted.app, base.store.run(place.run), Why.HANDED_OVER)

    assert answer[:2] == ("ok", "2")
    assert base.tracker.start(message(place, 2, epoch=2, delivery=2), "w1@test").uncertain
    assert uncertain(base, place.run) == {"uncertain:2"}


def test_what_is_launched_begins_when_nothing_of_before_is_left(base: Base, launcher: Launcher) -> None:
    """Its environment may have been another run's, which is forgotten."""
    restarts.look(base)
    come_back(base)
    place = launcher.launch(request(spec()))

    with pytest.raises(StaleError, match=YOUNG):
        base.tracker.start(message(place), "w0@test")
    let_pass(base)
    assert base.tracker.start(message(place), "w0@test")


@pytest.mark.parametrize("stand", [due, running, waiting])
def test_then_all_goes_on_anew_and_knows_that_nobody_knows(
    stand: Stand, base: Base, launcher: Launcher, place: Place
) -> None:
    """Also of the later steps: they may have been done since, in epochs that are forgotten."""
    stand(base, place)
    reaper = Reaper(base, scripted.app)
    come_back(base)

    reaper.look()
    quiet = base.store.run(place.run)
    let_pass(base)
    base.client.hdel(base.keys.server(), "seen", "since")
    reaper.look()

    went_on = base.store.run(place.run)
    assert quiet.epoch == 1
    assert (went_on.status, went_on.step) == (RunStatus.QUEUED, "opentofu-init")
    assert went_on.epoch > _LONG
    assert uncertain(base, place.run) == {f"uncertain:{index}" for index in range(2, 10)}
    assert base.tracker.start(message(place, 2, epoch=went_on.epoch, delivery=2), "w1@test").uncertain


@pytest.mark.parametrize("why", [Why.SENT_AGAIN, Why.TAKEN_OVER, Why.RETRY])
def test_a_reaper_that_has_not_heard_of_it_changes_nothing(why: Why, base: Base, launcher: Launcher) -> None:
    """It decided, and its call came to a Redis that had come back meanwhile."""
    place = launcher.launch(request(spec()))
    {Why.SENT_AGAIN: due, Why.TAKEN_OVER: running, Why.RETRY: waiting}[why](base, place)
    come_back(base)

    answer = succession.go_on(base, scripted.app, base.store.run(place.run), why)

    assert answer[0] == "held"
    assert base.store.run(place.run).epoch == 1


def test_a_run_that_ends_instead_knows_that_nobody_knows(base: Base, place: Place) -> None:
    due(base, place)
    come_back(base)

    assert callbacks.late(base, base.store.run(place.run)) == ("ok", "failed")

    assert uncertain(base, place.run) == {f"uncertain:{index}" for index in range(2, 10)}
    assert base.store.run(place.run).epoch > _LONG


def test_a_run_that_is_resumed_knows_that_nobody_knows(base: Base, launcher: Launcher, place: Place) -> None:
    """Perhaps it has been resumed before, and Redis has forgotten it."""
    due(base, place)
    callbacks.late(base, base.store.run(place.run))
    come_back(base)

    again = launcher.resume(base.store.run(place.run), Resumption(), "tester@here")

    assert again.epoch > _LONG
    assert uncertain(base, place.run) == {f"uncertain:{index}" for index in range(2, 10)}


def test_a_clock_that_jumped_gives_live_workers_a_lease(base: Base, launcher: Launcher) -> None:
    """Also when an operator comes before the reaper; but not at each time that one comes, where no reaper lives."""
    restarts.look(base)
    assert restarts.quiet_seconds(base) == 0
    base.client.hincrbyfloat(base.keys.server(), "seen", -_LONG)

    assert restarts.quiet_seconds(base) > 0
    base.client.hincrbyfloat(base.keys.server(), "since", -base.settings.lease_seconds)
    assert restarts.quiet_seconds(base) == 0


def test_a_clock_that_went_back_may_have_taken_all_with_it(base: Base, place: Place) -> None:
    """As with a virtual machine that was restored: its Redis never ended."""
    restarts.look(base)
    base.client.hincrbyfloat(base.keys.server(), "seen", _LONG)

    assert restarts.look(base) > base.settings.lease_seconds
    with pytest.raises(StaleError, match=OLD):
        base.tracker.start(message(place), "w0@test")
