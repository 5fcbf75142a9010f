"""What becomes of a firing: it launches once, however often it is delivered and whoever dies."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.failure import RunStatus
from tests.integration import scripted
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.scheduled import applied, dealt_with, declared, later, noted
from tests.support import poll
from workers import readiness
from workers.firing import Firings
from workers.firingrecord import Due, Outcome
from workers.launch import Launcher
from workers.reaper import Reaper
from workers.registry import Registry
from workers.runtime import Base
from workers.schedule import Schedules


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
    early = base.client.llen(base.keys.queue("wait"))

    base.client.zadd(base.keys.firings(), {str(due): base.now()})
    reaper.look()
    reaper.look()

    assert (early, base.client.llen(base.keys.queue("wait"))) == (0, 1)
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
