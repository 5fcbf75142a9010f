"""What becomes of a firing: it begins one rollout, however often it is delivered and whoever dies."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.equipment import Item, What
from tasks.failure import RunStatus
from tests.integration import scripted
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.scheduled import applied, dealt_with, declared, later, noted, over, rollout, runs
from tests.support import poll
from workers import callbacks, jobs, readiness, rolloutdraft
from workers.firing import Firings
from workers.firingrecord import Due, Outcome
from workers.launch import Launcher
from workers.pause import Pause
from workers.readiness import Lack
from workers.reaper import Reaper
from workers.registry import Registry
from workers.rolloutrecord import RolloutStatus
from workers.rollouts import Rollouts
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.schedule import Schedules


def test_a_fired_schedule_launches_what_it_selects(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """By a worker, which needs no fleet file. What a run holds is left out later, by its rollout."""
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
    assert (found.environments, found.left_out) == (2, {})
    record = over(base, found)
    assert (record.verb, record.trigger, record.succeeded, record.left_out) == ("register", "schedule nightly", 1, 1)
    assert held.run in RolloutStore(base.client, base.keys).outcomes(record.rollout)["db-1"].reason
    run = ended(base, runs(base, found)["web-1"])
    assert (run.status, run.trigger) == (RunStatus.SUCCEEDED, f"schedule nightly, rollout {record.rollout}")
    assert noted(base) == []


def test_no_more_is_started_than_the_policy_allows(base: Base, firings: Firings, start_worker: StartWorker) -> None:
    """What is in the broker of a schedule over many environments; the rest follows as runs end."""
    due = applied(base, *(spec(f"web-{number}") for number in range(7)), policy={"max_parallel": 2})

    found = dealt_with(firings, due)

    assert (found.outcome, found.environments) == (Outcome.LAUNCHED, 7)
    assert (len(runs(base, found)), base.client.llen(base.keys.queue("wait"))) == (2, 2)
    start_worker(KEY="a key")
    assert over(base, found).succeeded == 7


def test_what_its_workers_lack_is_left_out_and_recorded(
    base: Base, firings: Firings, start_worker: StartWorker
) -> None:
    """Nobody is there to be told at that hour."""
    start_worker()
    poll(lambda: Registry(base.client, base.keys).workers())

    found = dealt_with(firings, applied(base))

    reason = "worker w0@test: secret env:KEY: the variable is not set, or empty"
    assert (found.outcome, found.left_out) == (Outcome.LEFT_OUT, {"web-1": reason})
    record = rollout(base, found)
    assert (record.over, record.left_out, record.total) == (True, 1, 1)
    assert RolloutStore(base.client, base.keys).outcomes(record.rollout)["web-1"].reason == reason
    assert base.store.environments() == ()


def test_what_its_workers_lack_is_no_canary(base: Base, firings: Firings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out before the rollout begins, it takes no place in it, and does not make it pause."""
    specs = tuple(spec(f"web-{number}") for number in range(4))
    lack = Lack("w0@test", Item("wait", What.SECRET, "env:KEY"), "it is not set")
    policy = {"canary": {"size": 1, "then": "go-on"}, "max_parallel": 1}
    due = applied(base, *specs, policy=policy)
    monkeypatch.setattr(readiness, "wanted", lambda _, environment, __: _lacked(lack, environment.name != "web-3"))
    monkeypatch.setattr(readiness, "ask", lambda *_: readiness.Readiness((lack,)))

    found = dealt_with(firings, due)

    assert (found.outcome, set(found.left_out)) == (Outcome.LAUNCHED, {"web-0", "web-1", "web-2"})
    assert set(runs(base, found)) == {"web-3"}
    assert rollout(base, found).wave == 1
    callbacks.late(base, base.store.run(runs(base, found)["web-3"]))
    Rollouts(base, scripted.app).look(found.rollout or "")
    assert (rollout(base, found).over, rollout(base, found).left_out) == (True, 3)


def _lacked(lack: Lack, lacked: bool) -> frozenset[Item]:
    return frozenset([lack.item] if lacked else [])


def test_a_firing_that_is_delivered_twice_launches_once(base: Base, firings: Firings) -> None:
    due = applied(base)
    firings.note(due)

    first, again = firings.fire(due), firings.fire(due)
    firings.note(due)  # by a beat that died before it had written down that it fired it
    last = firings.fire(due)

    assert first
    assert (again, last) == (None, None)
    assert base.store.history("web-1") == (runs(base, first)["web-1"],)
    assert noted(base) == []
    assert [each.rollout for each in RolloutStore(base.client, base.keys).rollouts()] == [first.rollout]


class DiedError(Exception):
    """Whoever dealt with a firing is no more."""


@pytest.mark.parametrize("place", ["before it is written down", "written down", "begun", "kept"])
def test_whoever_deals_with_it_may_die_anywhere(
    place: str, base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next delivery launches all of it, and nothing twice, whatever was paused or applied meanwhile."""
    due = applied(base, *(spec(f"web-{number}") for number in range(5)), policy={"max_parallel": 3})
    firings.note(due)
    where = {
        "before it is written down": (rolloutdraft, "_fields"),
        "written down": (Rollouts, "let_go"),
        "begun": (Firings, "_keep"),
        "kept": (Rollouts, "advance"),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*where[place], _die)
        with pytest.raises(DiedError):
            firings.fire(due)
    started = _started(base)
    if place == "begun":
        Reaper(base, scripted.app).look()  # it goes on by itself
        started = _started(base)
    if place != "before it is written down":
        kept.pause(kept.find("nightly"), Pause(by="bert@here", reason="", at=base.now()))
    again = firings.fire(due)
    Reaper(base, scripted.app).look()

    (record,) = RolloutStore(base.client, base.keys).rollouts()
    assert (record.status, record.total, record.started) == (RolloutStatus.RUNNING, 5, 3)
    assert _started(base).items() >= started.items()
    assert set(map(len, _started(base).values())) == {1}
    (firing,) = kept.firings("nightly")
    assert (firing.rollout, firing.environments, firing.left_out) == (record.rollout, 5, {})
    assert again == (None if place == "kept" else firing)
    assert noted(base) == []
    assert not [field for field in base.client.hkeys(base.keys.schedule("nightly")) if field.startswith("begun:")]


def _die(*_: object, **__: object) -> None:
    raise DiedError


def _started(base: Base) -> dict[str, tuple[str, ...]]:
    return {record.name: base.store.history(record.name) for record in base.store.environments()}


def test_what_a_dead_one_has_written_down_goes_before_other_firings(
    base: Base, firings: Firings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may come before it is delivered again."""
    due = applied(base)
    firings.note(due)
    with monkeypatch.context() as patched:
        patched.setattr(Rollouts, "let_go", _die)
        with pytest.raises(DiedError):
            firings.fire(due)

    other, again = dealt_with(firings, later(due)), dealt_with(firings, due)

    assert again.outcome is Outcome.LAUNCHED
    assert (other.outcome, other.rollout) == (Outcome.LEFT_OUT, None)
    assert other.reason == f"rollout {again.rollout}, which an earlier firing began, goes on"


def test_what_has_been_paused_is_not_begun_again(
    base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a budget, or an operator, between the two deliveries."""
    due = applied(base, spec("web-1"), spec("web-2"), policy={"max_parallel": 1})
    rollouts = Rollouts(base, scripted.app)
    firings.note(due)
    with monkeypatch.context() as patched:
        patched.setattr(Firings, "_keep", _die)
        with pytest.raises(DiedError):
            firings.fire(due)
    rollouts.pause(rollouts.store.newest(), "the budget", "too many")

    again = dealt_with(firings, due)

    assert (rollout(base, again).status, rollout(base, again).changed_by) == (RolloutStatus.PAUSED, "the budget")
    assert (runs(base, again), rollout(base, again).started) == ({}, 0)


@pytest.mark.parametrize(
    ("module", "name"), [(readiness, "ask"), (rolloutdraft, "_write_environments")], ids=["asking", "writing"]
)
def test_one_that_was_stopped_and_wakes_up_late_begins_nothing(
    module: Any, name: str, base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock has lapsed meanwhile, and another one has dealt with the firing."""
    due = applied(base, spec("web-1"), spec("web-2"))
    firings.note(due)
    original, others = getattr(module, name), []

    def stop(*words: Any) -> Any:
        answer = original(*words)
        monkeypatch.setattr(module, name, original)
        base.client.delete(base.keys.schedule_lock("nightly"))
        others.append(dealt_with(Firings(base, scripted.app), due))
        return answer

    monkeypatch.setattr(module, name, stop)

    assert firings.fire(due) is None
    (record,) = RolloutStore(base.client, base.keys).rollouts()
    assert others == list(kept.firings("nightly"))
    assert (others[0].rollout, record.started) == (record.rollout, 2)
    assert RolloutStore(base.client, base.keys).live() == (record,)


def test_of_two_who_begin_it_one_keeps_what_became_of_it(
    base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = applied(base)
    original, others = Rollouts.let_go, []

    def stop(rollouts: Rollouts, *words: str) -> Any:
        monkeypatch.setattr(Rollouts, "let_go", original)
        base.client.delete(base.keys.schedule_lock("nightly"))
        others.append(dealt_with(Firings(base, scripted.app), due))
        return original(rollouts, *words)

    monkeypatch.setattr(Rollouts, "let_go", stop)

    late = dealt_with(firings, due)

    assert others == list(kept.firings("nightly"))
    assert late.rollout == others[0].rollout
    assert base.store.history("web-1") == (runs(base, late)["web-1"],)


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
    poll(lambda: noted(base) == [] and base.store.history("web-1"))
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

    firings.note(due)
    found = firings.fire(due)
    left = set(base.client.keys("*nightly*"))

    assert (found, left, RolloutStore(base.client, base.keys).rollouts()) == (None, set(), ())
    assert firings.fire(due) is None
    assert noted(base) == []


def test_one_that_is_removed_while_its_firing_begins_to_wait_leaves_nothing(
    base: Base, kept: Schedules, firings: Firings, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = applied(base, overlap="queue")
    monkeypatch.setattr(Firings, "_going", lambda *_: kept.remove("nightly") or "an earlier one goes on")

    assert dealt_with(firings, due).outcome is Outcome.WAITING
    assert (base.client.keys("*nightly*"), noted(base)) == ([], [])


def test_one_that_is_removed_when_its_rollout_has_begun_leaves_that(
    base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    due, original = applied(base), Rollouts.let_go

    def remove(rollouts: Rollouts, *words: str) -> Any:
        answer = original(rollouts, *words)
        kept.remove("nightly")
        return answer

    monkeypatch.setattr(Rollouts, "let_go", remove)

    assert rollout(base, dealt_with(firings, due)).started == 1
    assert set(base.client.keys("*nightly*")) == {base.keys.firing("nightly", due.mark)}


def test_one_that_is_removed_before_its_rollout_has_begun_ends_that(
    base: Base, firings: Firings, kept: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would know of it."""
    due = applied(base)
    firings.note(due)
    with monkeypatch.context() as patched:
        patched.setattr(Rollouts, "let_go", _die)
        with pytest.raises(DiedError):
            firings.fire(due)
    kept.remove("nightly")

    assert firings.fire(due) is None
    (record,) = RolloutStore(base.client, base.keys).rollouts()
    assert (record.status, record.over, record.started) == (RolloutStatus.CANCELLED, True, 0)
    assert record.reason == "the schedule was removed"


def test_one_that_is_removed_takes_its_firings_along(base: Base, firings: Firings, kept: Schedules) -> None:
    """Also if another one has its name when they are delivered; those of others stay."""
    due, other = applied(base, overlap="queue"), applied(base, name="nightly-2")
    begun, waits = dealt_with(firings, due), later(due)
    assert dealt_with(firings, waits).outcome is Outcome.WAITING
    firings.note(other)

    kept.remove("nightly")
    applied(base, overlap="queue")

    assert noted(base) == [str(other)]
    assert firings.fire(waits) is None
    assert [record.rollout for record in RolloutStore(base.client, base.keys).live()] == [begun.rollout]


def test_a_job_is_done_once_also_if_whoever_has_sent_it_dies(
    base: Base,
    firings: Firings,
    kept: Schedules,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is sent again under the same id."""
    kept.apply(declared(workflow="retention", select=None), (), "anna@here", base.now())
    due = Due("nightly", base.now())
    firings.note(due)
    with monkeypatch.context() as patched:
        patched.setattr(Firings, "_keep", _die)
        with pytest.raises(DiedError):
            firings.fire(due)
    found = dealt_with(firings, due)
    sent, log = base.client.llen(base.keys.queue("tools")), tmp_path / "w0@test.log"

    start_worker()
    poll(lambda: "Retention: that was done before" in log.read_text())

    assert (sent, found.job) == (2, jobs.task_id(due))
    poll(lambda: "Retention: dropped" in log.read_text())  # by the other process of the pool
    assert log.read_text().count("Retention: dropped") == 1


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
    assert (found.outcome, found.rollout) == (Outcome.LAUNCHED, None)
    assert found.job


def test_the_last_fifty_firings_are_kept(base: Base, firings: Firings, kept: Schedules) -> None:
    """What leaves goes with its rollout, but for one that goes on."""
    due = applied(base, overlap="allow")
    begun = [dealt_with(firings, later(due, number)).rollout or "" for number in range(52)]

    found = kept.firings("nightly")
    store = RolloutStore(base.client, base.keys)
    assert set(store.some(begun)) == {begun[0], *begun[2:]}
    assert store.live() == (store.rollout(begun[0]),)
    assert base.client.keys(f"*{begun[1]}*") == []
    assert {record.rollout for record in store.rollouts()} == {begun[0], *begun[2:]}

    assert [each.at for each in found[:2]] == [later(due, 51).at, later(due, 50).at]
    assert len(found) == 50
    assert time.time() - found[0].fired_at < 60
