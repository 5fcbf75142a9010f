"""Firings that are left out or wait: overlaps, missed times, pauses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import scripted
from tests.integration.conftest import StartWorker, spec
from tests.integration.scheduled import HOUR, applied, dealt_with, later, noted, over, rollout, runs
from tests.support import poll
from workers.firing import LATE_SECONDS, Firings
from workers.firingrecord import Due, Outcome
from workers.pause import Pause
from workers.rolloutrecord import RolloutStatus
from workers.rollouts import Rollouts
from workers.runtime import Base
from workers.schedule import Schedules


def test_while_the_rollout_of_a_firing_goes_on_the_next_is_left_out(
    base: Base, firings: Firings, start_worker: StartWorker
) -> None:
    due = applied(base, spec("web-1"), spec("web-2"), policy={"max_parallel": 1})
    first = dealt_with(firings, due)

    second, third = dealt_with(firings, later(due)), dealt_with(firings, later(due, 2))
    start_worker(KEY="a key")
    over(base, first)
    fourth = dealt_with(firings, later(due, 3))

    assert (second.outcome, third.outcome) == (Outcome.LEFT_OUT, Outcome.LEFT_OUT)
    assert second.reason == f"rollout {first.rollout}, which an earlier firing began, goes on"
    assert (second.rollout, second.environments) == (None, 0)
    assert fourth.outcome is Outcome.LAUNCHED


def test_one_that_is_paused_goes_on_until_an_operator_ends_it(
    base: Base, firings: Firings, start_worker: StartWorker
) -> None:
    due = applied(base, spec("web-1"), spec("web-2"), policy={"canary": {"size": 1}})
    first = dealt_with(firings, due)
    start_worker(KEY="a key")
    poll(lambda: rollout(base, first).status is RolloutStatus.PAUSED)
    second = dealt_with(firings, later(due))
    Rollouts(base, scripted.app).cancel(first.rollout or "", "anna@here", "")
    third = dealt_with(firings, later(due, 2))

    why = "is paused by the canary: it has ended, all well: look, then resume"
    assert second.outcome is Outcome.LEFT_OUT
    assert second.reason == f"rollout {first.rollout}, which an earlier firing began, {why}"
    assert third.outcome is Outcome.LAUNCHED


def test_what_redis_does_not_know_any_more_does_not_go_on(base: Base, firings: Firings) -> None:
    """Its retention is over."""
    due = applied(base, overlap="queue")
    first = dealt_with(firings, due)
    base.client.delete(base.keys.rollout(first.rollout or ""))

    found = dealt_with(firings, later(due))

    assert (found.outcome, found.left_out) == (Outcome.LAUNCHED, {})
    assert rollout(base, found).left_out == 1  # it is still at work


def test_the_run_that_follows_counts_as_its_firing(
    base: Base, firings: Firings, start_worker: StartWorker, steps_log: Path
) -> None:
    """`up` is two runs."""
    due = applied(base, spec("web-1", fail="ansible.install_docker", how="wait"), workflow="up")
    first = dealt_with(firings, due)
    start_worker(KEY="a key")
    poll(lambda: (run := base.store.run(runs(base, first)["web-1"])).next and base.store.run(run.next).live)

    assert dealt_with(firings, later(due)).outcome is Outcome.LEFT_OUT
    steps_log.with_name("go").touch()


def test_a_firing_that_waits_is_launched_when_the_rollout_is_over(
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
    over(base, first)
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
    over(base, first)

    assert dealt_with(firings, later(due, 2)).outcome is Outcome.LAUNCHED


def test_overlap_may_be_allowed(base: Base, firings: Firings) -> None:
    """What a run holds its rollout leaves out, one by one."""
    due = applied(base, overlap="allow")
    dealt_with(firings, due)

    found = dealt_with(firings, later(due))

    assert (found.outcome, found.reason) == (Outcome.LAUNCHED, None)
    record = rollout(base, found)
    assert (record.over, record.total, record.left_out) == (True, 1, 1)


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
    run = base.store.run(runs(base, asked)["web-1"])
    assert (run.user, run.trigger) == ("anna@there", f"schedule nightly, rollout {asked.rollout}")
