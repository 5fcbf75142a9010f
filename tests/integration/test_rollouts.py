"""Rollouts: waves, limits, budgets and slots, with real scripts; and over real workers that die."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.rollout import Policy
from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus
from tests.integration import scripted
from tests.integration.conftest import StartWorker, request, spec
from tests.support import poll
from workers import callbacks, pause, rolloutdraft
from workers.launch import Launcher, Resumption
from workers.reaper import Reaper
from workers.registry import Registry
from workers.rolloutdraft import Claim, RolloutRequest
from workers.rolloutrecord import Outcome, RolloutRecord, RolloutStatus
from workers.rollouts import RESUME, Rollouts
from workers.runtime import Base

NO_KEY = Outcome(status="left-out", kind="lacking", reason="no key file", advice="put it there")


@pytest.fixture
def rollouts(base: Base, launcher: Launcher) -> Rollouts:
    """As an operator's process has it."""
    return Rollouts(base, scripted.app)


def fleet(count: int, **labels: str) -> tuple[EnvironmentSpec, ...]:
    return tuple(spec(f"web-{number}", **labels) for number in range(1, count + 1))


def begin(rollouts: Rollouts, specs: tuple[EnvironmentSpec, ...], verb: str = "provision", **policy: object) -> str:
    chosen = Policy.model_validate(policy)
    return rollouts.begin(RolloutRequest(verb, specs, "ann@desk", f"{verb} by ann@desk", chosen))


def live(rollouts: Rollouts, rollout: str) -> list[str]:
    return sorted(rollouts.store.slots(rollout))


def fail(base: Base, run: str, kind: Kind = Kind.TIMEOUT) -> None:
    """End a run badly at its tracked step, as its error callback does."""
    record = base.store.run(run)
    cause = Cause.TIMED_OUT if kind is Kind.TIMEOUT else Cause.RAISED
    found = Failure(kind, cause, "AnError", "it went wrong")
    callbacks.end_badly(base, record, found, callbacks.links_of(found), final=True)


def fail_all(base: Base, rollouts: Rollouts, rollout: str, kind: Kind = Kind.TIMEOUT) -> None:
    for run in rollouts.store.slots(rollout).values():
        fail(base, run, kind)
    rollouts.look(rollout)


def test_no_more_than_the_policy_allows_are_started(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(5), max_parallel=2)

    assert rollouts.advance(rollout) == 2
    assert rollouts.advance(rollout) == 0

    record = rollouts.store.rollout(rollout)
    assert (record.status, record.started, record.live, record.pending) == (RolloutStatus.RUNNING, 2, 2, 3)
    assert live(rollouts, rollout) == ["web-1", "web-2"]
    run = base.store.run(rollouts.store.slots(rollout)["web-1"])
    assert (run.user, run.trigger) == ("ann@desk", f"provision by ann@desk, rollout {rollout}")
    assert base.client.llen(base.keys.queue("tools")) == 2  # the broker holds what was started, and nothing of the rest


def test_the_end_of_a_run_lets_the_next_one_start(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(3), max_parallel=1)
    rollouts.advance(rollout)
    (run,) = rollouts.store.slots(rollout).values()
    fail(base, run)

    rollouts.look(rollout)

    assert live(rollouts, rollout) == ["web-2"]
    outcome = rollouts.store.outcomes(rollout)["web-1"]
    assert (outcome.status, outcome.run, outcome.step, outcome.kind) == (
        *("failed", run),
        *("render-opentofu-templates", "timeout"),
    )


def test_an_environment_starts_once_however_many_start_it(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(20), max_parallel=8)

    with ThreadPoolExecutor(8) as threads:
        started = list(threads.map(lambda _: Rollouts(base, scripted.app).advance(rollout), range(8)))

    assert sum(started) == 8
    assert len(live(rollouts, rollout)) == 8
    assert sum(len(base.store.history(name)) for name in live(rollouts, rollout)) == 8


def test_a_slot_is_freed_once_however_many_free_it(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(3), max_parallel=1)
    rollouts.advance(rollout)
    (run,) = rollouts.store.slots(rollout).values()
    fail(base, run)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: Rollouts(base, scripted.app).look(rollout), range(8)))

    record = rollouts.store.rollout(rollout)
    assert (record.ended, record.failed, record.started, record.live) == (1, 1, 2, 1)


def test_of_many_slots_some_are_looked_at_each_time(
    base: Base, rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.rollouts._PAGE", 2)
    rollout = begin(rollouts, fleet(5), max_parallel=5)
    rollouts.advance(rollout)
    for name in ("web-2", "web-5"):
        fail(base, rollouts.store.slots(rollout)[name])

    for _ in range(2):
        rollouts.look(rollout)
        assert live(rollouts, rollout) == ["web-1", "web-3", "web-4", "web-5"]

    rollouts.look(rollout)
    assert live(rollouts, rollout) == ["web-1", "web-3", "web-4"]


def test_a_provider_has_a_limit_of_its_own(rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(4), max_parallel=3, per_provider={"existing": 2})

    rollouts.advance(rollout)

    assert live(rollouts, rollout) == ["web-1", "web-2"]


def test_a_canary_goes_alone_and_then_waits_for_an_operator(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(10), canary={"size": "20%"})
    rollouts.advance(rollout)
    assert live(rollouts, rollout) == ["web-1", "web-2"]

    fail_all(base, rollouts, rollout)

    record = rollouts.store.rollout(rollout)
    assert (record.status, record.changed_by, record.live) == (RolloutStatus.PAUSED, "the canary", 0)
    assert record.reason == "it has ended, 2 not well: look, then resume"
    rollouts.resume(rollout, "ann@desk", "known")
    rollouts.advance(rollout)
    assert len(live(rollouts, rollout)) == 8


def test_a_canary_that_goes_on_by_itself_stops_when_it_went_badly(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(3), canary={"size": 1, "then": "go-on"})
    rollouts.advance(rollout)

    fail_all(base, rollouts, rollout)

    assert rollouts.store.rollout(rollout).reason == "1 of it did not go well"


def test_batches_follow_one_another(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(5), canary={"size": 1, "then": "go-on"}, batch=2)
    rollouts.advance(rollout)
    seen = [live(rollouts, rollout)]
    rollouts.resume(rollout, "nobody", "it is not paused")
    for _ in range(3):
        fail_all(base, rollouts, rollout)
        rollouts.resume(rollout, "ann@desk", "go on")
        rollouts.advance(rollout)
        seen.append(live(rollouts, rollout))

    assert seen == [["web-1"], ["web-2", "web-3"], ["web-4", "web-5"], []]
    assert rollouts.store.rollout(rollout).status is RolloutStatus.FAILED


@pytest.mark.parametrize(
    ("budget", "kind", "stops_after"),
    [
        ({"failures": 1}, Kind.TIMEOUT, 2),
        ({"failures": "20%"}, Kind.TIMEOUT, 3),
        ({"limits": [{"kind": "quota", "failures": 0}]}, Kind.QUOTA, 1),
        ({"limits": [{"kind": "quota", "failures": 0}]}, Kind.TIMEOUT, None),
        ({"limits": [{"step": "render-opentofu-templates", "kind": "timeout", "failures": 2}]}, Kind.TIMEOUT, 3),
        ({"limits": [{"step": "opentofu-apply", "failures": 0}]}, Kind.TIMEOUT, None),
        ({"failures": 9, "limits": [{"kind": "timeout", "failures": 1}]}, Kind.TIMEOUT, 2),
    ],
)
def test_a_budget_pauses_when_it_tolerates_no_more(
    budget: dict[str, object], kind: Kind, stops_after: int | None, base: Base, rollouts: Rollouts
) -> None:
    rollout = begin(rollouts, fleet(10), max_parallel=1, budget=budget)
    rollouts.advance(rollout)

    failures = 0
    while rollouts.store.slots(rollout):
        fail_all(base, rollouts, rollout, kind)
        failures += 1

    record = rollouts.store.rollout(rollout)
    if stops_after is None:
        assert (record.status, failures) == (RolloutStatus.FAILED, 10)
    else:
        assert (record.status, record.changed_by, failures) == (RolloutStatus.PAUSED, "the budget", stops_after)
        assert (record.reason or "").startswith(f"{stops_after} failure")


def test_resumed_it_tolerates_as_many_again(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(9), max_parallel=1, budget={"failures": 1})
    rollouts.advance(rollout)
    for _ in range(2):
        fail_all(base, rollouts, rollout)
    assert rollouts.store.rollout(rollout).status is RolloutStatus.PAUSED

    rollouts.resume(rollout, "ann@desk", "", {"max_parallel": 2})
    rollouts.advance(rollout)
    assert len(live(rollouts, rollout)) == 2
    fail_all(base, rollouts, rollout)

    record = rollouts.store.rollout(rollout)
    assert (record.status, record.failed, record.used) == (RolloutStatus.PAUSED, 4, (2,))


def test_while_it_is_paused_what_runs_goes_on_and_nothing_starts(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(3), max_parallel=1)
    rollouts.advance(rollout)
    rollouts.pause(rollout, "ann@desk", "look at web-1")

    fail_all(base, rollouts, rollout)

    record = rollouts.store.rollout(rollout)
    assert (record.status, record.ended, record.live, record.pending) == (RolloutStatus.PAUSED, 1, 0, 2)
    events = [event["event"] for event in rollouts.store.events(rollout)]
    assert events == ["begun", "paused"]


def test_cancelled_it_ends_with_its_last_run(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(3), max_parallel=2)
    rollouts.advance(rollout)

    assert rollouts.cancel(rollout, "ann@desk", "wrong size") == ("ok", "cancelled")

    assert not rollouts.store.rollout(rollout).over
    fail_all(base, rollouts, rollout)
    record = rollouts.store.rollout(rollout)
    assert (record.status, record.over, record.ended, record.reason) == (RolloutStatus.CANCELLED, True, 2, "wrong size")
    assert rollouts.store.live() == ()
    assert rollouts.resume(rollout, "ann@desk", "")[0] == "already"


def test_what_is_to_come_is_kept_as_long_as_it_goes_on(base: Base, rollouts: Rollouts) -> None:
    """However long that is; but what was never written to its end is forgotten."""
    draft, keys = rollouts.new_id(), base.keys
    claim = Claim(keys.schedule_lock("none"), "of nobody", keys.schedule("none"), ())
    rollouts.draft(draft, RolloutRequest("provision", fleet(3), "ann@desk", "test"), claim)
    rollout = begin(rollouts, fleet(3), max_parallel=1)
    rollouts.advance(rollout)
    drafted, kept = ((keys.rollout_pending(each, "existing"), keys.rollout_specs(each)) for each in (draft, rollout))

    assert min(map(base.client.ttl, drafted)) > 0
    assert list(map(base.client.ttl, kept)) == [-1, -1]
    rollouts.cancel(rollout, "ann@desk", "")
    assert (base.client.exists(*kept), rollouts.store.rollout(rollout).live) == (0, 1)


def test_past_its_deadline_nothing_new_starts(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(3), max_parallel=1, deadline="1s")
    rollouts.advance(rollout)
    deadline = rollouts.store.rollout(rollout).deadline_at or 0
    poll(lambda: base.now() > deadline)

    fail_all(base, rollouts, rollout)

    record = rollouts.store.rollout(rollout)
    assert (record.status, record.changed_by, record.started) == (RolloutStatus.PAUSED, "the deadline", 1)


def test_what_cannot_be_launched_is_left_out_with_the_reason(base: Base, rollouts: Rollouts) -> None:
    busy = begin(rollouts, fleet(1))
    rollouts.advance(busy)
    request = RolloutRequest("provision", fleet(3), "ann@desk", "test", left_out={"web-3": NO_KEY})
    rollout = rollouts.begin(request)

    rollouts.advance(rollout)

    outcomes = rollouts.store.outcomes(rollout)
    assert [outcomes[name].status for name in ("web-1", "web-3")] == ["left-out", "left-out"]
    assert "is held by run" in outcomes["web-1"].reason
    assert (outcomes["web-1"].kind, outcomes["web-3"]) == ("busy", NO_KEY)
    assert live(rollouts, rollout) == ["web-2"]


def test_what_is_left_out_at_first_takes_no_place(base: Base, rollouts: Rollouts) -> None:
    """A canary is of those that start; what workers lack is not its failure."""
    policy = Policy.model_validate({"canary": {"size": 1, "then": "go-on"}, "batch": 2})
    left_out = dict.fromkeys(("web-1", "web-2", "web-5"), NO_KEY)
    rollout = rollouts.begin(RolloutRequest("provision", fleet(7), "ann@desk", "test", policy, left_out=left_out))
    rollouts.advance(rollout)
    seen = [live(rollouts, rollout)]
    for run in rollouts.store.slots(rollout).values():
        base.client.hset(base.keys.run(run), "status", "succeeded")
    rollouts.look(rollout)

    assert [*seen, live(rollouts, rollout)] == [["web-3"], ["web-4", "web-6"]]
    record = rollouts.store.rollout(rollout)
    assert (record.status, record.left_out, record.pending, record.wave) == (RolloutStatus.RUNNING, 3, 1, 2)


def test_it_is_let_go_once(rollouts: Rollouts) -> None:
    """And not if somebody has had it go on, or has paused or cancelled it before."""
    drafts = [rollouts.new_id() for _ in range(3)]
    for draft in drafts:
        assert rollouts.draft(draft, RolloutRequest("provision", fleet(1), "ann@desk", "test"))
        assert not rollouts.advance(draft)
    first, resumed, cancelled = drafts
    answers = [rollouts.let_go(first, "ann@desk"), rollouts.pause(first, "bert@desk", "no")]
    rollouts.resume(resumed, "bert@desk", "")
    rollouts.pause(resumed, "bert@desk", "")
    rollouts.cancel(cancelled, "bert@desk", "")

    assert answers == [("ok", "running"), ("ok", "paused")]
    assert [rollouts.let_go(draft, "ann@desk") for draft in drafts] == [
        ("already", "paused"),
        ("already", "paused"),
        ("already", "cancelled"),
    ]


def test_all_left_out_it_has_ended(base: Base, rollouts: Rollouts) -> None:
    request = RolloutRequest("provision", fleet(1), "ann@desk", "test", left_out={"web-1": NO_KEY})

    record = rollouts.store.rollout(rollouts.begin(request))

    assert (record.status, record.over) == (RolloutStatus.FAILED, True)


def test_while_all_is_paused_it_starts_nothing(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(1))
    pause.begin(base, "ann@desk", "")

    assert rollouts.advance(rollout) == 0


def test_it_resumes_the_last_runs(base: Base, rollouts: Rollouts) -> None:
    first = begin(rollouts, fleet(2))
    rollouts.advance(first)
    runs = dict(rollouts.store.slots(first))
    fail_all(base, rollouts, first)

    rollout = begin(rollouts, fleet(3), RESUME)
    rollouts.advance(rollout)

    assert dict(rollouts.store.slots(rollout)) == runs
    assert {base.store.run(run).epoch for run in runs.values()} == {2}
    assert rollouts.store.outcomes(rollout)["web-3"].status == "left-out"


def test_it_resumes_the_runs_that_were_meant_and_no_other(base: Base, rollouts: Rollouts, launcher: Launcher) -> None:
    """Somebody may have destroyed a host since, and stopped that: a retry does not go on there."""
    first = begin(rollouts, fleet(3))
    rollouts.advance(first)
    runs = rollouts.store.slots(first)
    fail_all(base, rollouts, first)
    failed = {name: base.store.run(run) for name, run in runs.items()}
    retry = RolloutRequest(RESUME, fleet(3), "ann@desk", "retry by ann@desk", Policy(max_parallel=1), runs=failed)
    rollout = rollouts.begin(retry)
    destroyed = launcher.launch(request(spec("web-2"), "destroy"))
    resumed = launcher.resume(failed["web-3"], Resumption(), "bob@desk")
    for place in (destroyed, resumed):
        fail(base, place.run)

    while rollouts.advance(rollout):
        fail_all(base, rollouts, rollout)

    outcomes = rollouts.store.outcomes(rollout)
    assert [each.status for each in outcomes.values()] == ["failed", "left-out", "left-out"]
    assert outcomes["web-2"].reason == "web-2 has gone on since the rollout began: destroy failed"
    assert [base.store.run(run).epoch for run in (runs["web-1"], destroyed.run, resumed.run)] == [2, 1, 2]


def test_a_run_that_was_resumed_before_its_slot_was_freed_keeps_it(
    base: Base, rollouts: Rollouts, launcher: Launcher
) -> None:
    rollout = begin(rollouts, fleet(2), max_parallel=1)
    rollouts.advance(rollout)
    (run,) = rollouts.store.slots(rollout).values()
    fail(base, run)
    launcher.resume(base.store.run(run), Resumption(), "ann@desk")

    rollouts.look(rollout)

    assert live(rollouts, rollout) == ["web-1"]


def test_two_workflows_hold_one_slot(base: Base, rollouts: Rollouts, worker: subprocess.Popen[bytes]) -> None:
    """`up` of an existing host: its register and its configure run are one environment of the rollout."""
    rollout = begin(rollouts, fleet(4), "up", max_parallel=1)
    rollouts.advance(rollout)

    poll(lambda: rollouts.store.rollout(rollout).over, seconds=120)

    record = rollouts.store.rollout(rollout)
    assert (record.status, record.succeeded, record.started, record.ended) == (RolloutStatus.SUCCEEDED, 4, 4, 4)
    assert {outcome.workflow for outcome in rollouts.store.outcomes(rollout).values()} == {"configure"}


def test_it_goes_on_by_itself_while_workers_are_killed(
    base: Base, rollouts: Rollouts, start_worker: StartWorker, steps_log: Path
) -> None:
    """No slot is lost and none is doubled: every environment goes through once, whoever dies."""
    specs = [*fleet(24), *(spec(f"bad-{number}", fail="tofu.plan") for number in range(6))]
    workers = [start_worker("-c", "1"), start_worker("-c", "1")]
    poll(lambda: len(Registry(base.client, base.keys).workers()) == 2)
    rollout = begin(rollouts, tuple(specs), max_parallel=4)
    rollouts.advance(rollout)
    most = 0
    for _ in range(3):
        seen = rollouts.store.rollout(rollout).ended
        poll(lambda seen=seen: rollouts.store.rollout(rollout).ended > seen + 2, seconds=90)
        victim = workers.pop(0)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait(30)
        workers.append(start_worker("-c", "1"))
        most = max(most, len(live(rollouts, rollout)))

    poll(lambda: rollouts.store.rollout(rollout).over, seconds=180)

    record = rollouts.store.rollout(rollout)
    assert (record.succeeded, record.failed, record.left_out, record.gone) == (24, 6, 0, 0)
    assert most <= 4
    assert (record.started, record.live, record.live_of) == (30, 0, {"existing": 0})
    assert {len(base.store.history(each.name)) for each in specs} == {1}
    assert Counter(run.status for run in base.store.runs(_runs(rollouts, rollout)).values()) == {
        RunStatus.SUCCEEDED: 24,
        RunStatus.FAILED: 6,
    }


def _runs(rollouts: Rollouts, rollout: str) -> list[str]:
    return [outcome.run for outcome in rollouts.store.outcomes(rollout).values()]


def test_the_reaper_goes_on_with_what_nobody_has_started(base: Base, rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(2), max_parallel=1)

    Reaper(base, scripted.app).look()

    assert live(rollouts, rollout) == ["web-1"]


def test_what_has_not_ended_is_never_out_of_sight(
    base: Base, rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others came later."""
    monkeypatch.setattr(rolloutdraft, "_MOST_KEPT", 4)
    paused = begin(rollouts, fleet(2))
    rollouts.pause(paused, "ann@desk", "look")
    for _ in range(6):
        rollouts.cancel(begin(rollouts, fleet(1)), "ann@desk", "")
    running = begin(rollouts, fleet(1))

    assert base.client.zcard(base.keys.rollouts()) == 4 + 1
    assert base.client.zscore(base.keys.rollouts(), paused)
    assert [each.rollout for each in rollouts.store.rollouts(3)][:2] == [running, paused]
    assert len(rollouts.store.rollouts(3)) == 3


def test_a_record_tells_what_was_decided(rollouts: Rollouts) -> None:
    rollout = begin(rollouts, fleet(10), budget={"failures": "25%"}, batch="30%", deadline="2h", max_parallel=7)

    record: RolloutRecord = rollouts.store.rollout(rollout)

    assert (record.max_parallel, record.batch, record.wave_end, record.deadline_seconds) == (7, 3, 3, 7200)
    assert [rule.failures for rule in record.rules] == [2]
    assert rollouts.store.newest() == rollout
    assert [each.rollout for each in rollouts.store.rollouts()] == [rollout]
