"""The scripts' contract, one by one, without workers: what each refuses, and that asking twice changes nothing."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest

from config.fleet import EnvironmentSpec
from tasks.environment import State
from tasks.errors import ConfigurationError, Kind
from tasks.failure import Cause, EarlierAttempt, Failure, RunStatus
from tasks.identity import StepIdentity
from tasks.result import Ending, Result
from tests.integration.conftest import request, spec
from tests.support import poll
from workers import callbacks, connection, errback, runtime
from workers.launch import Launcher, Resumption
from workers.names import Names
from workers.records import RunRecord
from workers.refusals import BusyError, ConflictError, RefusedError
from workers.runtime import Base
from workers.store import Store
from workers.tracker import Execution, Place, StaleError

Snapshot = dict[str, object]


def message(place: Place, index: int = 1, **more: object) -> StepIdentity:
    """The message of a step of the run."""
    step = ("render-opentofu-templates", "opentofu-init", "opentofu-validate", "opentofu-plan")[index - 1]
    return StepIdentity(
        **{
            "run": place.run,
            "token": place.token,
            "epoch": place.epoch,
            "environment": place.environment,
            "workflow": place.workflow,
            "step": step,
            "index": index,
            "total": 9,
            "delivery": place.delivery,
            **more,
        }
    )


def snapshot(base: Base) -> Snapshot:
    """Everything of ours in Redis but the broker's."""
    read = {"hash": base.client.hgetall, "set": base.client.smembers, "string": base.client.get}
    found: Snapshot = {}
    everything = base.client.scan_iter(f"{base.keys.prefix}:*")
    for key in (key for key in everything if not key.startswith(base.keys.queue(""))):
        kind = base.client.type(key)
        if kind == "zset":
            found[key] = base.client.zrange(key, 0, -1, withscores=True)
        elif kind == "stream":
            found[key] = base.client.xlen(key)
        else:
            found[key] = read[kind](key)
    return found


@pytest.fixture
def place(launcher: Launcher) -> Place:
    """A run whose first step is due."""
    return launcher.launch(request(spec(), "provision", "configure"))


@pytest.fixture
def execution(base: Base, place: Place) -> Execution:
    """Its first step, started."""
    return base.tracker.start(message(place), "w0@test")


def test_launch_writes_the_claim(base: Base, place: Place) -> None:
    record = base.store.environment("web-1")
    run = base.store.run(place.run)

    assert (record.state, record.run, record.last_run, record.revision) == (State.PROVISIONING, place.run, place.run, 1)
    assert (run.status, run.step, run.index, run.epoch, run.delivery) == (
        RunStatus.QUEUED,
        "render-opentofu-templates",
        1,
        1,
        1,
    )
    assert base.client.zrange(base.keys.due(), 0, -1) == [place.run]
    assert base.store.run(run.next or "").status is RunStatus.PENDING
    assert [event["event"] for event in base.store.events(place.run)] == ["launched"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"token": "0" * 32}, "another token"),
        ({"epoch": 2}, "epoch 1 is the current one"),
        ({"delivery": 2}, "it was sent again since"),
        ({"index": 2, "step": "opentofu-init"}, "step 1 is due"),
        ({"run": "unknown"}, "gone"),
    ],
)
def test_start_refuses_what_is_not_due(wrong: dict[str, object], why: str, base: Base, place: Place) -> None:
    before = snapshot(base)

    with pytest.raises(StaleError, match=why):
        base.tracker.start(message(place, **wrong), "w0@test")
    assert snapshot(base) == before


def test_a_started_step_is_not_started_again(base: Base, place: Place, execution: Execution) -> None:
    before = snapshot(base)

    with pytest.raises(StaleError, match="the run is running"):
        base.tracker.start(message(place), "w1@test")
    assert snapshot(base) == before
    assert base.store.run(place.run).worker == "w0@test"
    assert execution.name.startswith(f"{place.run}.1.1.1.")


@pytest.mark.parametrize("lost", ["start", "end", "fail", "launch"])
def test_a_script_whose_reply_was_lost_may_be_asked_again(
    lost: str, base: Base, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks again with the same nonce: it gets the same answer, and nothing has changed twice."""
    answers: list[tuple[object, object]] = []
    snapshots: list[Snapshot] = []
    call = connection.Script.__call__

    def twice(script: connection.Script, keys: list[str], *args: object) -> object:
        first = call(script, keys, *args)
        if script.name == lost:
            snapshots.append(snapshot(base))
            answers.append((first, call(script, keys, *args)))
            snapshots.append(snapshot(base))
        return first

    monkeypatch.setattr(connection.Script, "__call__", twice)
    place = launcher.launch(request(spec(), "provision"))
    execution = base.tracker.start(message(place), "w0@test")
    base.tracker.end(execution, Result(execution.facts))
    base.tracker.start(message(place, 2), "w0@test")
    fail(base, place.run)

    assert answers
    assert all(first == second and first[0] == "ok" for first, second in answers)
    assert snapshots[::2] == snapshots[1::2]


def test_end_stores_what_was_learned_and_makes_the_next_step_due(base: Base, execution: Execution) -> None:
    learned = execution.facts.model_copy(update={"address": "127.1.2.3", "ssh_attempts": {"ok": 1}})

    assert base.tracker.end(execution, Result(learned, Ending.UNCHANGED, "as before")) is None

    run = base.store.run(execution.identity.run)
    assert base.store.facts("web-1") == learned
    assert (run.status, run.step, run.index, run.attempt) == (RunStatus.QUEUED, "opentofu-init", 2, 0)
    assert run.completed[0].model_dump(exclude={"seconds"}) == {
        "step": "render-opentofu-templates",
        "index": 1,
        "ending": "unchanged",
        "attempt": 1,
        "note": "as before",
    }
    assert base.client.zcard(base.keys.leases()) == 0


def test_end_of_another_epoch_stores_nothing(base: Base, launcher: Launcher, execution: Execution) -> None:
    """A worker that wakes up after the run was failed and resumed without it."""
    fail(base, execution.identity.run)
    launcher.resume(base.store.run(execution.identity.run), Resumption(), "tester@here")
    before = snapshot(base)

    with pytest.raises(StaleError):
        base.tracker.end(execution, Result(execution.facts.model_copy(update={"address": "127.9.9.9"})))
    assert snapshot(base) == before


def test_the_first_failure_wins(base: Base, execution: Execution) -> None:
    assert fail(base, execution.identity.run, "the first") == ("ok", "failed")
    before = snapshot(base)
    run = base.store.run(execution.identity.run)
    assert run.failure

    assert callbacks.end_badly(base, run, failure("the second"), ()) == ("already", "failed")
    assert snapshot(base) == before
    assert run.failure.error_summary == "the first"


def test_a_failure_at_a_step_that_has_ended_since_is_refused(base: Base, execution: Execution) -> None:
    """Celery blames the step before when what comes next cannot be published."""
    running = base.store.run(execution.identity.run)
    base.tracker.end(execution, Result(execution.facts))
    before = snapshot(base)

    assert callbacks.end_badly(base, running, failure("it"), ()) == ("stale", "the run is at another step")
    assert snapshot(base) == before


def test_a_run_that_may_be_alive_is_not_settled(base: Base, execution: Execution) -> None:
    before = snapshot(base)

    answer = callbacks.settle(base, base.store.run(execution.identity.run))

    assert answer[0] == "held"
    longest = base.settings.lease_seconds + base.settings.takeover_seconds + 0.05  # told in tenths
    assert 0 < float(answer[1]) <= longest
    assert snapshot(base) == before


def test_a_worker_of_more_patience_is_given_its_own(base: Base, launcher: Launcher) -> None:
    """The tools of a worker that was given a longer grace live longer than a reaper elsewhere would think."""
    place = launcher.launch(request(spec()))
    patient = runtime.base(base.settings.model_copy(update={"grace_seconds": 300.0}))
    execution = patient.tracker.start(message(place), "w0@test")
    now = base.now()
    base.client.zadd(base.keys.leases(), {execution.name: now - 100})  # by our own settings it is long dead

    answer = callbacks.settle(base, base.store.run(place.run))

    assert answer[0] == "held"
    assert 490 < float(answer[1]) < 610
    assert base.store.run(place.run).free_at(base.settings.takeover_seconds) - now > 490


def test_a_run_that_runs_is_not_resumed(base: Base, launcher: Launcher, execution: Execution) -> None:
    """And nobody is told to try again: there is nothing to wait for."""
    before = snapshot(base)

    with pytest.raises(BusyError) as refused:
        launcher.resume(base.store.run(execution.identity.run), Resumption(), "tester@here")

    assert refused.value.advice == "`stepmark status web-1` shows it"
    assert snapshot(base) == before


def test_facts_of_a_destroyed_host_are_forgotten_at_the_next_launch(base: Base, launcher: Launcher) -> None:
    first = launcher.launch(request(spec()))
    execution = base.tracker.start(message(first), "w0@test")
    base.tracker.end(execution, Result(execution.facts.model_copy(update={"address": "127.1.2.3"})))
    base.client.hset(base.keys.environment("web-1"), mapping={"state": "destroyed", "run": ""})

    launcher.launch(request(spec()))

    assert base.store.facts("web-1").address is None


def test_the_messages_carry_identity_only(base: Base, place: Place) -> None:
    """No fact, no secret, no setting of the environment travels through the broker."""
    sent = json.loads(base.client.lrange(base.keys.queue("tools"), 0, 0)[0])

    assert set(sent["headers"]["stepmark"]) == set(StepIdentity.model_fields)
    assert "127.1.2.3" not in json.dumps(sent)
    assert sent["headers"]["shadow"] == "web-1 provision 1/9 render-opentofu-templates"
    assert sent["headers"]["argsrepr"] == sent["headers"]["shadow"]


def test_leases_are_renewed_and_a_lost_one_ends_the_tools(base: Base, execution: Execution) -> None:
    from_start = base.store.run(execution.identity.run).lease_until or 0.0
    time.sleep(0.01)
    renew = connection.Script(base.client, "renew")

    leases = [base.keys.leases(), base.keys.cancels()]
    assert renew(leases, 60, execution.name, "gone.1.1.1") == [["gone.1.1.1"], []]
    assert (base.store.run(execution.identity.run).lease_until or 0.0) > from_start + 50


def failure(summary: str) -> Failure:
    """A failure of a tool."""
    return Failure(Kind.COMMAND_EXECUTION, Cause.RAISED, "ToolError", summary)


def fail(base: Base, run: str, summary: str = "it went wrong") -> tuple[str, ...]:
    """End the run badly where it is."""
    return callbacks.end_badly(base, base.store.run(run), failure(summary), ())


def test_a_duplicate_that_fails_before_its_start_harms_nobody(base: Base, place: Place, execution: Execution) -> None:
    """As on a worker without an encryption key: the step still runs, on another worker."""
    before = snapshot(base)
    duplicate = SimpleNamespace(headers=message(place).headers(), hostname="w1@test")

    errback.chain_failed(duplicate, ConfigurationError("no encryption key"), None)

    assert snapshot(base) == before
    assert base.store.run(place.run).execution == execution.name


def test_a_step_of_another_version_is_stale(base: Base, place: Place) -> None:
    with pytest.raises(StaleError, match="another step there"):
        base.tracker.start(message(place, step="opentofu-init"), "w0@test")
    base.client.hset(base.keys.run(place.run), "schema", "2")
    with pytest.raises(StaleError, match="the run has schema 2"):
        base.tracker.start(message(place), "w0@test")


def test_a_run_of_other_steps_is_not_resumed(base: Base, launcher: Launcher, execution: Execution) -> None:
    fail(base, execution.identity.run)
    run = base.store.run(execution.identity.run)

    with pytest.raises(RefusedError, match="has other steps now"):
        launcher.resume(run.model_copy(update={"names": ("check-disk", *run.names)}), Resumption(), "tester@here")


def test_a_run_that_went_on_since_it_was_read_is_not_resumed(
    base: Base, launcher: Launcher, execution: Execution
) -> None:
    """In the same epoch: it was thought to be lost, and its worker came back."""
    read = base.store.run(execution.identity.run)
    base.tracker.end(execution, Result(execution.facts))
    fail(base, read.run)
    before = snapshot(base)

    with pytest.raises(ConflictError):
        launcher.resume(read.model_copy(update={"status": RunStatus.FAILED}), Resumption(), "tester@here")
    assert snapshot(base) == before


def test_a_run_that_expires_while_its_environment_is_renamed_leaves_nothing(
    base: Base, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = execution.identity.run
    fail(base, run)
    read = base.store.runs([run])
    base.client.delete(base.keys.run(run))
    monkeypatch.setattr(Store, "runs", lambda *_: read)

    Names(base).adopt("web-1", "web-9", "renamed")

    assert not base.client.exists(base.keys.run(run))


def test_a_plan_leaves_the_run_that_can_be_resumed(base: Base, launcher: Launcher, execution: Execution) -> None:
    fail(base, execution.identity.run)
    before = base.store.environment("web-1")

    plan = launcher.launch(request(spec(colour="red"), "plan"))
    started = base.tracker.start(message(plan), "w0@test")
    fail(base, plan.run)

    after = base.store.environment("web-1")
    assert started.environment.labels == {"colour": "red"}
    assert (after.last_run, after.spec, after.state) == (before.last_run, before.spec, before.state)
    assert launcher.resume(base.store.run(execution.identity.run), Resumption(), "tester@here").epoch == 2


def test_the_provider_of_a_host_that_there_is_cannot_be_changed(
    base: Base, launcher: Launcher, execution: Execution
) -> None:
    fail(base, execution.identity.run)
    other = spec().model_dump(mode="json") | {"provider": {"name": "sandbox"}}

    with pytest.raises(RefusedError, match="has a host of provider existing"):
        launcher.launch(request(EnvironmentSpec.model_validate(other)))


def test_a_lost_message_can_be_destroyed_over(base: Base, launcher: Launcher, place: Place) -> None:
    base.client.delete(base.keys.queue("tools"))

    def destroyed() -> bool:
        try:
            return bool(launcher.launch(request(spec(), "destroy")))
        except BusyError:
            return False

    poll(destroyed, every=0.3)
    lost = base.store.run(place.run).failure
    assert lost is not None
    assert (lost.cause, lost.failed_step) == (Cause.LOST_MESSAGE, "render-opentofu-templates")


def test_a_run_whose_successor_is_gone_ends(base: Base, launcher: Launcher) -> None:
    place = launcher.launch(request(spec(), "plan", "configure"))
    base.client.delete(base.keys.run(base.store.run(place.run).next or ""))
    for index in range(1, base.store.run(place.run).total + 1):
        execution = base.tracker.start(message(place, index), "w0@test")
        assert base.tracker.end(execution, Result(execution.facts)) is None

    assert base.store.environment("web-1").run is None


def test_the_run_after_has_begun_when_its_first_step_was_due(base: Base, launcher: Launcher) -> None:
    place = launcher.launch(request(spec(), "plan", "configure"))
    before = base.store.run(place.run)
    for index in range(1, before.total + 1):
        execution = base.tracker.start(message(place, index), "w0@test")
        base.tracker.end(execution, Result(execution.facts))

    first, then = base.store.run(place.run), base.store.run(before.next or "")
    assert (before.begun_at, base.store.run(place.run).begun_at) == (before.created_at, before.created_at)
    assert (then.created_at, then.begun_at, then.started_at) == (first.created_at, first.ended_at, None)


def test_a_resumed_run_begins_anew_and_keeps_what_failed_before(
    base: Base, launcher: Launcher, execution: Execution
) -> None:
    """Also after the step has ended well: which worker was lost there, say."""
    run = execution.identity.run
    fail(base, run, "the first")
    failed = base.store.run(run)

    resumed = launcher.resume(failed, Resumption(), "tester@here")
    again = base.tracker.start(message(resumed), "w1@test")
    base.tracker.end(again, Result(again.facts))

    now = base.store.run(run)
    assert failed.failure is not None
    (kept,) = now.before[1]
    assert kept.at == pytest.approx(failed.ended_at)
    assert kept == EarlierAttempt(
        attempt=1,
        at=kept.at,
        kind=Kind.COMMAND_EXECUTION,
        summary="the first",
        trace_id=failed.failure.trace_id,
    )
    assert now.earlier == ()  # at the step that is due now
    assert (now.begun_at or 0.0) > (failed.ended_at or 0.0) > (failed.begun_at or 0.0)


def test_of_many_attempts_the_last_are_kept(base: Base, launcher: Launcher, place: Place) -> None:
    for count in range(1, 23):
        base.tracker.start(message(place), "w0@test")
        fail(base, place.run, f"failure {count}")
        place = launcher.resume(base.store.run(place.run), Resumption(), "tester@here")

    assert [each.attempt for each in base.store.run(place.run).earlier] == list(range(3, 23))


def test_a_run_that_goes_on_between_the_readings_is_not_taken_for_lost(base: Base, execution: Execution) -> None:
    """Its steps are so quick that in each reading of its lease the step read before has ended."""
    read, steps = base.store._read_runs, iter(range(2, 5))

    def reading(ids: object) -> dict[str, RunRecord]:
        found = read([execution.identity.run])
        if (index := next(steps, None)) is None:
            return found
        return {run: record.model_copy(update={"lease_until": None, "index": index}) for run, record in found.items()}

    base.store._read_runs = reading  # type: ignore[assignment,method-assign]

    assert base.store.run(execution.identity.run).display is RunStatus.RUNNING
