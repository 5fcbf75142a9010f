"""What Redis keeps has bounds: histories, streams and traces by their writers, the rest by the retention."""

from __future__ import annotations

import subprocess

import pytest

from tasks.failure import RunStatus
from tasks.trace import Trace
from tests.integration import scripted
from tests.integration.cli.conftest import Stepmark, stepmark
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.test_drift import begun, walk
from tests.integration.test_scripts import fail, failure, message, snapshot
from tests.support import poll
from workers import callbacks, retention, runlog
from workers.connection import Script
from workers.launch import Launcher
from workers.records import Gone
from workers.retention import Dropped, Retention
from workers.runlog import RunLog
from workers.runtime import Base

__all__ = ["stepmark"]

# Redis trims a stream by whole nodes of 100 entries.
_NODE = 100


def past(base: Base, *keys: str) -> None:
    """Their lifetime ends."""
    for key in keys:
        assert base.client.pexpire(key, 1)
    poll(lambda: not base.client.exists(*keys))


@pytest.fixture
def old(base: Base, launcher: Launcher) -> None:
    """web-1: of two runs, two looks and two traces one each is past its lifetime; and what is noted of others."""
    first = walk(base, launcher, "provision")
    for _ in range(2):
        fail(base, begun(base, launcher).identity.run)
    checks, traces = base.store.checks("web-1"), base.store.traces("web-1")
    walk(base, launcher, "configure")
    past(base, base.keys.run(first), base.keys.run(checks[0]), base.keys.trace(traces[1]))
    now, long_ago = base.now(), base.now() - base.retention_seconds - 60
    for name, at in (("sold", long_ago), ("burnt", now)):
        gone = Gone(at=at, by="me@here", reason="x", state="destroyed")
        base.client.hset(base.keys.gone(), name, gone.model_dump_json())


@pytest.mark.usefixtures("old")
def test_what_is_past_its_lifetime_is_dropped(base: Base) -> None:
    before = snapshot(base)
    dropped = Dropped(runs=1, checks=1, traces=1, gone=1)

    assert Retention(base).perform(dry=True) == dropped
    assert snapshot(base) == before

    assert Retention(base).perform() == dropped
    histories = (base.store.history("web-1"), base.store.checks("web-1"), base.store.traces("web-1"))
    assert [len(each) for each in histories] == [1, 1, 1]
    assert set(base.store.runs([*histories[0], *histories[1]])) == {*histories[0], *histories[1]}
    assert base.store.trace(histories[2][0]) is not None
    assert base.client.hkeys(base.keys.gone()) == ["burnt"]
    assert Retention(base).perform() == Dropped()


def test_what_lives_stays(base: Base, launcher: Launcher) -> None:
    """Also a run that waits for the one before it, and one that is older than the retention."""
    place = launcher.launch(request(spec(), "provision", "configure"))
    base.tracker.start(message(place), "w0@test")
    base.client.zadd(base.keys.runs("web-1"), {place.run: 1.0})
    before = snapshot(base)

    assert Retention(base).perform() == Dropped()
    assert snapshot(base) == before


@pytest.mark.usefixtures("old")
def test_it_goes_by_the_indexes_and_not_over_all_keys(base: Base) -> None:
    base.client.config_resetstat()

    Retention(base).perform()

    assert not {"cmdstat_keys", "cmdstat_scan"} & set(base.client.info("commandstats"))


@pytest.mark.usefixtures("old", "worker")
def test_a_worker_does_it_when_beat_says_so(base: Base) -> None:
    scripted.app.send_task(retention.TASK)

    poll(lambda: len(base.store.history("web-1")) == 1)


@pytest.mark.usefixtures("old")
def test_the_command(base: Base, stepmark: Stepmark) -> None:
    dropped = {"runs": 1, "checks": 1, "traces": 1, "gone": 1}

    assert stepmark("retention", "run", "--dry-run", "--json").json == {"dry_run": True, "dropped": dropped}
    assert "only counted" in stepmark("retention", "run", "--dry-run").out
    assert stepmark("retention", "run").out.splitlines()[0].split() == [
        "1",
        "runs",
        "in",
        "histories,",
        "whose",
        "records",
        "are",
        "gone",
    ]
    assert len(base.store.history("web-1")) == 1


def test_a_history_has_a_hundred_runs_and_keeps_the_one_to_be_resumed(base: Base, launcher: Launcher) -> None:
    """What leaves it goes with its events and its log."""
    first = launcher.launch(request(spec())).run
    fail(base, first)
    plans = []
    for _ in range(101):
        plans.append(launcher.launch(request(spec(), "plan")).run)
        base.client.xadd(base.keys.log(plans[-1]), {"step": "x", "attempt": 1, "text": "y"})
        fail(base, plans[-1])

    assert base.store.environment("web-1").last_run == first
    assert list(base.store.history("web-1")) == [*plans[:0:-1], first]
    gone = [base.keys.run(plans[0]), base.keys.run_events(plans[0]), base.keys.log(plans[0])]
    assert base.client.exists(*gone) == 0
    assert base.client.exists(*(base.keys.run(run) for run in plans[1:])) == 100


def test_streams_have_bounds(base: Base, launcher: Launcher) -> None:
    """They are longer than that before, as if by another version: the next write of ours shortens them."""
    place = launcher.launch(request(spec()))
    run, keys = place.run, base.keys
    bounds = {
        keys.events(): 10_000,
        keys.run_events(run): 1_000,
        keys.log(run): 4_000,
        keys.tofu_audit("web-1"): 1_000,
    }
    pipe = base.client.pipeline(transaction=False)
    for key, bound in bounds.items():
        for _ in range(bound + 3 * _NODE):
            pipe.xadd(key, {"step": "x", "attempt": 1, "text": "x"})
    pipe.execute()

    base.tracker.start(message(place), "w0@test")
    log = RunLog(base.client, keys.log(run), "a-step", 1, base.retention_seconds)
    log.write("a line")
    log.flush()
    Script(base.client, "unlock")([keys.tofu_state("web-1"), keys.tofu_audit("web-1")], "", "me@here", "why")

    assert {key: base.client.xlen(key) <= bound + _NODE for key, bound in bounds.items()} == dict.fromkeys(bounds, True)
    assert [line.text for line in runlog.read(base.client, keys, run) if line.step == "a-step"] == ["a line"]


def test_an_environment_has_a_hundred_traces(base: Base, launcher: Launcher) -> None:
    run = launcher.launch(request(spec())).run
    record, ids = base.store.run(run), []
    for _ in range(103):
        context = callbacks.describe(base, record, failure("it went wrong"))
        ids.append(context.trace_id)
        callbacks.keep_trace(base, Trace(context=context, error_chain=()))

    assert list(base.store.traces("web-1")) == ids[:2:-1]
    assert base.client.exists(*(base.keys.trace(each) for each in ids)) == 100


def test_what_is_live_leaves_nothing_behind(
    base: Base, launcher: Launcher, start_worker: StartWorker, worker: subprocess.Popen[bytes]
) -> None:
    """Of runs that ended well, badly, by a lost worker and by a cancel: no lease, deadline, retry, mark or message."""
    wishes = (
        {},
        {"fail": "tofu.apply"},
        {"fail": "tofu.plan", "how": "kill-worker"},
        {"fail": "ssh.wait", "how": "network"},
    )
    places = [launcher.launch(request(spec(f"web-{number}", **wish))) for number, wish in enumerate(wishes)]
    waiting = base.store.run(places[-1].run)
    start_worker()
    poll(lambda: base.store.run(waiting.run).status in (RunStatus.WAITING, RunStatus.FAILED))
    base.tracker.cancel(base.store.run(waiting.run), "me@here", "enough")

    statuses = [ended(base, place.run).status for place in places]

    assert statuses == [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.CANCELLED]
    keys = base.keys
    poll(lambda: not base.client.exists(keys.due(), keys.leases(), keys.retries(), keys.deadlines(), keys.cancels()))
    assert (base.client.llen(base.keys.queue("tools")), base.client.llen(base.keys.queue("wait"))) == (0, 0)
    assert all(base.client.ttl(keys.run(place.run)) > 0 for place in places)
