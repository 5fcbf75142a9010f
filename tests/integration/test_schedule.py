"""Schedules in Redis, and what becomes of a firing: launched once, left out or waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config.fleet import EnvironmentSpec
from config.schedules import Schedule
from tasks.failure import RunStatus
from tests.integration import scripted
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers import readiness
from workers.firing import LATE_SECONDS, Firings
from workers.firingrecord import Due, Firing, Outcome
from workers.launch import Launcher
from workers.pause import Pause
from workers.reaper import Reaper
from workers.refusals import NotFoundError, RefusedError
from workers.registry import Registry
from workers.runtime import Base
from workers.schedule import Schedules

HOUR = 3600.0


@pytest.fixture
def kept(base: Base) -> Schedules:
    """The schedules in Redis."""
    return Schedules(base.client, base.keys)


@pytest.fixture
def firings(base: Base, launcher: Launcher) -> Firings:
    """As a worker has them."""
    return Firings(base, scripted.app)


def declared(**changes: Any) -> Schedule:
    content = {"name": "nightly", "workflow": "register", "select": "all", "every": "1h"}
    return Schedule.model_validate(content | changes)


def applied(base: Base, *specs: EnvironmentSpec, **changes: Any) -> Due:
    """A schedule that was applied some hours ago, and its latest time."""
    schedule, now = declared(**changes), base.now()
    kept = Schedules(base.client, base.keys)
    kept.apply(schedule, specs or (spec("web-1"),), "anna@here", now - 5 * HOUR)
    return Due(schedule.name, kept.find(schedule.name).timetable.due(0, now) or 0)


def later(due: Due, number: int = 1) -> Due:
    return Due(due.schedule, due.at + number * 0.001)


def noted(base: Base) -> list[str]:
    found: list[str] = base.client.zrange(base.keys.firings(), 0, -1)
    return found


def dealt_with(firings: Firings, due: Due) -> Firing:
    found = firings.fire(due)
    assert found
    return found


# The schedules.


def test_what_is_applied_is_kept_with_what_it_selects(kept: Schedules, base: Base) -> None:
    specs = (spec("web-1"), spec("web-2", tier="db"))
    at = base.now()

    kept.apply(declared(), specs, "anna@here", at)

    (found,) = kept.all()
    assert found == kept.find("nightly")
    assert (found.schedule, found.environments, found.applied_by) == (declared(), ("web-1", "web-2"), "anna@here")
    assert kept.specs("nightly") == specs
    assert found.next_at == int(at) + HOUR
    assert kept.changes(found, declared(), specs) == []


def test_what_would_change_is_named(kept: Schedules, base: Base) -> None:
    kept.apply(declared(), (spec("web-1"), spec("web-2"), spec("web-3")), "anna@here", base.now())

    found = kept.changes(
        kept.find("nightly"),
        declared(every=None, cron="0 3 * * *", overlap="queue"),
        (spec("web-1"), spec("web-2", tier="db"), spec("web-4")),
    )

    assert found == [
        "every: 1h -> none",
        "cron: none -> 0 3 * * *",
        "overlap: skip -> queue",
        *("~ web-2", "+ web-4", "- web-3"),
    ]


def test_another_selection_leaves_the_times_as_they_are(kept: Schedules, base: Base) -> None:
    at = base.now() - 0.5 * HOUR
    kept.apply(declared(), (spec("web-1"),), "anna@here", at)

    kept.apply(declared(overlap="allow"), (spec("web-2"),), "anna@here", base.now())
    same = kept.find("nightly").next_at
    kept.apply(declared(every="2h"), (spec("web-2"),), "anna@here", base.now())

    assert same == int(at) + HOUR
    assert kept.find("nightly").next_at == pytest.approx(base.now() + 2 * HOUR, abs=60)


def test_a_paused_schedule_stays_so_when_it_is_applied(kept: Schedules, base: Base) -> None:
    kept.apply(declared(), (spec("web-1"),), "anna@here", base.now())
    pause = Pause(by="anna@here", reason="a freeze", at=base.now())

    kept.pause(kept.find("nightly"), pause)
    kept.apply(declared(every="2h"), (spec("web-1"),), "anna@here", base.now())
    paused = kept.find("nightly")
    kept.unpause(paused, base.now() + 100 * HOUR)

    assert (paused.paused, paused.next_at) == (pause, None)
    assert kept.find("nightly").paused is None
    assert kept.find("nightly").next_at == pytest.approx(base.now() + 101 * HOUR, abs=2 * HOUR)


def test_nothing_is_left_of_what_is_removed(kept: Schedules, base: Base, firings: Firings) -> None:
    due = applied(base)
    dealt_with(firings, due)
    before = set(base.client.keys("*nightly*"))

    kept.remove("nightly")

    assert base.keys.beat_entry("nightly") in before
    assert set(base.client.keys("*nightly*")) == {base.keys.firing("nightly", due.mark)}  # for an hour
    assert kept.names() == ()
    with pytest.raises(NotFoundError):
        kept.find("nightly")


def test_what_another_version_has_applied_is_said_to_be_so(kept: Schedules, base: Base) -> None:
    kept.apply(declared(), (spec("web-1"),), "anna@here", base.now())
    base.client.hset(base.keys.schedule("nightly"), "schedule", '{"name": "nightly", "wobble": 1}')

    with pytest.raises(RefusedError, match="schedule nightly was applied by another version"):
        kept.find("nightly")


# What becomes of a firing.


def test_a_fired_schedule_launches_what_it_selects(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """By a worker, which needs no fleet file. What a run holds is left out; the others say what launched them."""
    held = launcher.launch(request(spec("db-1", fail="ssh.wait", how="wait"), "register"))
    due = applied(base, spec("web-1"), spec("db-1"))
    firings = Firings(base, scripted.app)

    firings.note(due)
    firings.send(due)
    start_worker(KEY="a key")
    poll(lambda: Schedules(base.client, base.keys).firings("nightly"))
    steps_log.with_name("go").touch()

    (found,) = Schedules(base.client, base.keys).last_firings()
    assert (found.schedule, found.at, found.outcome) == ("nightly", due.at, Outcome.LAUNCHED)
    assert (set(found.launched), set(found.left_out)) == ({"web-1"}, {"db-1"})
    assert held.run in found.left_out["db-1"]
    run = ended(base, found.launched["web-1"])
    assert (run.status, run.trigger, run.workflow) == (RunStatus.SUCCEEDED, "schedule nightly", "register")
    assert noted(base) == []


def test_what_its_workers_lack_is_left_out_and_recorded(
    base: Base, firings: Firings, start_worker: StartWorker
) -> None:
    """Nobody is there to be told at that hour."""
    start_worker()
    poll(lambda: Registry(base.client, base.keys).workers())

    found = dealt_with(firings, applied(base))

    assert (found.outcome, found.launched) == (Outcome.LEFT_OUT, {})
    assert found.left_out == {"web-1": "worker w0@test: secret env:KEY: the variable is not set, or empty"}
    assert base.store.environments() == ()


def test_a_firing_that_is_delivered_twice_launches_once(base: Base, firings: Firings) -> None:
    due = applied(base)
    firings.note(due)

    first, again = firings.fire(due), firings.fire(due)
    firings.note(due)  # by a beat that died before it had written down that it fired it
    last = firings.fire(due)

    assert first
    assert (again, last) == (None, None)
    assert base.store.history("web-1") == (first.launched["web-1"],)
    assert noted(base) == []


def test_of_many_who_deal_with_it_at_once_one_launches(base: Base, firings: Firings) -> None:
    due = applied(base, *(spec(f"web-{number}") for number in range(20)))
    firings.note(due)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: firings.fire(due), range(8)))

    assert [each.outcome for each in found if each and each.outcome is not Outcome.WAITING] == [Outcome.LAUNCHED]
    assert {len(base.store.history(f"web-{number}")) for number in range(20)} == {1}


def test_while_a_firing_is_dealt_with_others_of_its_schedule_wait(base: Base, firings: Firings) -> None:
    """And if whoever dealt with it has died, the next delivery does it."""
    due = applied(base)
    firings.note(due)
    base.client.set(base.keys.schedule_lock("nightly"), "of somebody else", px=500)

    found = dealt_with(firings, due)

    assert (found.outcome, found.reason) == (Outcome.WAITING, "another firing of it is just being dealt with")
    assert noted(base) == [str(due)]
    assert poll(lambda: dealt_with(firings, due).outcome is Outcome.LAUNCHED)
    assert noted(base) == []


def test_a_reaper_sends_what_nobody_has_dealt_with(base: Base, firings: Firings, start_worker: StartWorker) -> None:
    """Its message is lost with a worker that dies, or was never sent."""
    due = applied(base)
    firings.note(due)
    reaper = Reaper(base, scripted.app)
    reaper.look()
    early = base.client.llen("wait")

    base.client.zadd(base.keys.firings(), {str(due): base.now()})
    reaper.look()
    reaper.look()

    assert (early, base.client.llen("wait")) == (0, 1)
    start_worker(KEY="a key")
    poll(lambda: noted(base) == [])
    assert len(base.store.history("web-1")) == 1


def test_a_schedule_that_was_removed_meanwhile(base: Base, kept: Schedules, firings: Firings) -> None:
    due = applied(base)
    firings.note(due)
    kept.remove("nightly")

    assert firings.fire(due) is None
    assert noted(base) == []
    assert base.store.environments() == ()


def test_one_that_is_removed_while_it_is_fired_leaves_nothing(
    base: Base, kept: Schedules, firings: Firings, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = applied(base)
    monkeypatch.setattr(readiness, "ask", lambda *_: kept.remove("nightly") or readiness.Readiness())

    assert firings.fire(due)
    assert set(base.client.keys("*nightly*")) == {base.keys.firing("nightly", due.mark)}


# Overlap.


def test_while_the_runs_of_a_firing_go_on_the_next_is_left_out(
    base: Base, firings: Firings, start_worker: StartWorker
) -> None:
    due = applied(base, spec("web-1"), spec("web-2"))
    first = dealt_with(firings, due)

    second, third = dealt_with(firings, later(due)), dealt_with(firings, later(due, 2))
    start_worker(KEY="a key")
    for run in first.launched.values():
        ended(base, run)
    fourth = dealt_with(firings, later(due, 3))

    assert (second.outcome, third.outcome) == (Outcome.LEFT_OUT, Outcome.LEFT_OUT)
    assert second.reason == "what an earlier firing launched goes on: web-1, web-2"
    assert fourth.outcome is Outcome.LAUNCHED


def test_the_run_that_follows_counts_as_its_firing(base: Base, firings: Firings, start_worker: StartWorker) -> None:
    """`up` is two runs."""
    due = applied(base, spec("web-1", fail="ansible.docker", how="hang"), workflow="up")
    first = dealt_with(firings, due)
    start_worker(KEY="a key")
    poll(lambda: (run := base.store.run(first.launched["web-1"])).next and base.store.run(run.next).live)

    assert dealt_with(firings, later(due)).outcome is Outcome.LEFT_OUT


def test_a_firing_that_waits_is_launched_when_the_runs_have_ended(
    base: Base, firings: Firings, kept: Schedules, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One waits; a third one would only do the same again. It is not taken for missed, however long it waits."""
    due = applied(base, overlap="queue")
    waits = Due("nightly", due.at - 2 * LATE_SECONDS, "anna@here")
    first = dealt_with(firings, due)

    second, third = dealt_with(firings, waits), dealt_with(firings, later(due))
    again = dealt_with(firings, waits)
    waiting = (kept.find("nightly").waiting, noted(base))
    base.client.zadd(base.keys.firings(), {str(waits): base.now()})
    start_worker(KEY="a key")
    ended(base, first.launched["web-1"])
    poll(lambda: noted(base) == [])

    assert (second.outcome, again.outcome) == (Outcome.WAITING, Outcome.WAITING)
    assert (third.outcome, third.reason) == (Outcome.LEFT_OUT, "another firing of it waits already")
    assert waiting == (str(waits), [str(waits)])
    assert kept.find("nightly").waiting is None
    assert [each.outcome for each in kept.firings("nightly")] == ["launched", "left-out", "launched"]
    assert len(base.store.history("web-1")) == 2


def test_if_the_firing_that_waits_is_lost_with_redis_others_do_not_wait_for_it(
    base: Base, firings: Firings, start_worker: StartWorker
) -> None:
    due = applied(base, overlap="queue")
    first = dealt_with(firings, due)
    dealt_with(firings, later(due))
    base.client.delete(base.keys.firings())
    start_worker(KEY="a key")
    ended(base, first.launched["web-1"])

    assert dealt_with(firings, later(due, 2)).outcome is Outcome.LAUNCHED


def test_overlap_may_be_allowed(base: Base, firings: Firings) -> None:
    """What a run holds is left out one by one."""
    due = applied(base, overlap="allow")
    dealt_with(firings, due)

    found = dealt_with(firings, later(due))

    assert (found.outcome, found.reason, set(found.left_out)) == (Outcome.LEFT_OUT, None, {"web-1"})


# Missed times, pauses, operators.


@pytest.mark.parametrize(
    ("late", "changes", "outcome"),
    [
        (LATE_SECONDS - 60, {}, Outcome.LAUNCHED),
        (LATE_SECONDS + 60, {}, Outcome.LEFT_OUT),
        (3 * HOUR, {"missed": "run-once"}, Outcome.LAUNCHED),
        (3 * HOUR, {"missed": "run-once", "missed_limit": "2h"}, Outcome.LEFT_OUT),
        (25 * HOUR, {"missed": "run-once"}, Outcome.LEFT_OUT),
    ],
)
def test_a_missed_time(base: Base, firings: Firings, late: float, changes: dict[str, str], outcome: Outcome) -> None:
    """Nobody fired it then: no beat, no Redis, no worker."""
    applied(base, **changes)

    found = dealt_with(firings, Due("nightly", base.now() - late))

    assert found.outcome is outcome
    if outcome is Outcome.LEFT_OUT:
        assert found.reason == f"missed: nobody fired it for {late / 60:.0f} minutes"


def test_jitter_is_no_lateness(base: Base, firings: Firings, kept: Schedules) -> None:
    applied(base, jitter="30m")
    table, now = kept.find("nightly").timetable, base.now()
    at = next(at for at in range(round(now), 0, -1) if now - at > LATE_SECONDS > now - table.due_at(at) > 0)

    assert dealt_with(firings, Due("nightly", at)).outcome is Outcome.LAUNCHED


def test_what_is_paused_launches_only_for_an_operator(base: Base, firings: Firings, kept: Schedules) -> None:
    due = applied(base)
    kept.pause(kept.find("nightly"), Pause(by="bert@here", reason="", at=base.now()))

    left_out, asked = dealt_with(firings, due), dealt_with(firings, Due("nightly", due.at - 9 * HOUR, "anna@there"))

    assert (left_out.outcome, left_out.reason) == (Outcome.LEFT_OUT, "paused by bert@here")
    assert (asked.outcome, asked.by) == (Outcome.LAUNCHED, "anna@there")
    run = base.store.run(asked.launched["web-1"])
    assert (run.user, run.trigger) == ("anna@there", "schedule nightly")


def test_a_job_is_given_to_a_worker(
    base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    original = scripted.app.send_task

    def send(name: str, *args: Any, **options: Any) -> Any:
        sent.append(name)
        return original(name, *args, **options)

    monkeypatch.setattr(scripted.app, "send_task", send)
    kept.apply(declared(workflow="retention", select=None), (), "anna@here", base.now())

    found = dealt_with(firings, Due("nightly", base.now()))

    assert sent == ["stepmark.retention"]
    assert (found.outcome, found.launched) == (Outcome.LAUNCHED, {})
    assert found.job


def test_the_last_fifty_firings_are_kept(base: Base, firings: Firings, kept: Schedules) -> None:
    due = applied(base, overlap="allow")
    for number in range(52):
        dealt_with(firings, later(due, number))

    found = kept.firings("nightly")

    assert [each.at for each in found[:2]] == [later(due, 51).at, later(due, 50).at]
    assert len(found) == 50
    assert time.time() - found[0].fired_at < 60
