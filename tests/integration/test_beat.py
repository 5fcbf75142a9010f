"""Beat: fires what is due, once; one is active, another stands by; and both outlive Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from redbeat.schedulers import RedBeatConfig

from config import celeryconfig
from config.schedules import Schedule
from config.settings import Settings
from tests.faults import server
from tests.integration.conftest import ROOT, StartWorker, spec
from tests.integration.scheduled import declared, noted, runs
from tests.support import poll
from workers import beat, crew, runtime
from workers.beat import Scheduler
from workers.firingrecord import Outcome
from workers.pause import Pause
from workers.runtime import Base
from workers.schedule import STANDING, Schedules

Beat = subprocess.Popen[bytes]
Start = Callable[..., Beat]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Start beats, each with a pulse file of its own: `pulse.0`, `pulse.1`."""
    started: list[Beat] = []

    def begin(**variables: str) -> Beat:
        argv = (*crew.commands({}, beat=True)["beat"],)
        own = {"STEPMARK_PULSE_FILE": str(tmp_path / f"pulse.{len(started)}"), "STEPMARK_BEAT_LOCK_SECONDS": "2"}
        log = (tmp_path / f"beat{len(started)}.log").open("wb")
        process = subprocess.Popen(argv, cwd=ROOT, env=os.environ | own | variables, stdout=log, stderr=log)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait(30)


def quieten(base: Base) -> None:
    """Pause what is fired by itself, in case it is due while a test runs."""
    kept = Schedules(base.client, base.keys)
    kept.stand(base.now())
    for record in kept.all():
        kept.pause(record, Pause(by="tester", reason="", at=base.now()))


@pytest.fixture(autouse=True)
def _quiet(base: Base) -> None:
    quieten(base)


@pytest.fixture
def scheduler(settings: Settings) -> Iterator[Scheduler]:
    """A beat in this process, which looks when it is told to."""
    app = Celery("stepmark", set_as_current=False)
    app.conf.update(celeryconfig.build(settings))
    made = Scheduler(app)
    yield made
    made.close()


def apply(base: Base, *, ago: float = 0.0, **changes: object) -> Schedule:
    """A schedule that was applied some seconds ago."""
    schedule = declared(**changes)
    Schedules(base.client, base.keys).apply(schedule, (spec("web-1"),), "anna@here", base.now() - ago)
    return schedule


def active(kept: Schedules, *beats: Beat) -> Beat:
    """The beat that fires the schedules."""
    return poll(lambda: next((each for each in beats if (kept.beat() or "").endswith(f"/{each.pid}")), None))


# In processes of their own.


def test_a_standby_takes_over_from_a_beat_that_is_killed(base: Base, kept: Schedules, start: Start) -> None:
    """And no time is fired twice: each is noted once, and sent once."""
    apply(base, every="1s")
    beats = (start(), start())
    first = active(kept, *beats)
    poll(lambda: len(noted(base)) >= 2)

    first.send_signal(signal.SIGKILL)
    first.wait(30)
    before = set(noted(base))
    second = active(kept, *(each for each in beats if each is not first))
    poll(lambda: set(noted(base)) - before)
    second.send_signal(signal.SIGTERM)
    second.wait(30)

    assert len(noted(base)) - base.client.llen(base.keys.queue("wait")) in (0, 1)  # it may have died before it sent
    assert kept.beat() is None


def test_a_beat_that_is_told_to_end_gives_its_place_away_at_once(base: Base, kept: Schedules, start: Start) -> None:
    beats = tuple(start(STEPMARK_BEAT_LOCK_SECONDS="600") for _ in range(2))
    first = active(kept, *beats)

    first.send_signal(signal.SIGTERM)

    assert first.wait(30) == 0
    assert active(kept, *(each for each in beats if each is not first)).poll() is None


def test_both_show_that_they_live(base: Base, kept: Schedules, start: Start, tmp_path: Path) -> None:
    active(kept, start(), start())
    files = [tmp_path / "pulse.0", tmp_path / "pulse.1"]

    poll(lambda: all(file.exists() for file in files))
    for file in files:
        os.utime(file, (0, 0))

    poll(lambda: all(file.stat().st_mtime > 0 for file in files))


def test_a_worker_launches_what_beat_fires(
    base: Base, kept: Schedules, start: Start, start_worker: StartWorker
) -> None:
    apply(base, workflow="register", every="2s")
    start_worker(KEY="a key")
    start()

    firing = poll(lambda: kept.firings("nightly"))[-1]
    run = poll(lambda: runs(base, firing).get("web-1"))  # its rollout starts it when the firing has been kept

    assert firing.outcome is Outcome.LAUNCHED
    assert base.store.run(run).trigger == f"schedule nightly, rollout {firing.rollout}"


def test_beats_outlive_a_restart_of_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """They begin while it is away, lose it, and fire again when it is back; one at a time."""
    with server.running(tmp_path / "redis") as redis_server:
        monkeypatch.setenv("STEPMARK_REDIS_URL", redis_server.url)
        base = runtime.base(Settings())
        kept = Schedules(base.client, base.keys)
        quieten(base)
        apply(base, every="1s")
        redis_server.kill()
        beats = (start(), start())
        redis_server.start()
        first = active(kept, *beats)
        poll(lambda: noted(base))

        redis_server.kill()
        redis_server.start()
        before = set(noted(base))

        poll(lambda: set(noted(base)) - before)
        # Of the one that it was killed over, the message may be missing: a reaper would send it.
        poll(lambda: len(noted(base)) - base.client.llen(base.keys.queue("wait")) in (0, 1))
        assert [each.poll() for each in beats] == [None, None]
        assert first in beats


# In this process.


def test_the_keys_are_those_that_redbeat_uses(settings: Settings, base: Base) -> None:
    app = Celery("stepmark", set_as_current=False)
    app.conf.update(celeryconfig.build(settings))
    found = RedBeatConfig(app)

    assert (found.schedule_key, found.lock_key) == (base.keys.beat_due(), base.keys.beat_lock())
    assert beat.DueEntry.generate_key(_with(app, found), "nightly") == base.keys.beat_entry("nightly")


def _with(app: Celery, found: RedBeatConfig) -> Celery:
    app.redbeat_conf = found
    return app


def test_what_is_due_is_fired_once_and_then_at_its_next_time(base: Base, kept: Schedules, scheduler: Scheduler) -> None:
    """Of the times that have passed the latest one: whoever comes late fires once."""
    apply(base, ago=3 * 3600 + 10, every="1h")
    apply(base, name="later", every="1h")
    record = kept.find("nightly")

    first, second = scheduler.tick(), scheduler.tick()

    assert noted(base) == [f"nightly {record.since + 3 * 3600:.0f}"]
    assert base.client.llen(base.keys.queue("wait")) == 1
    assert kept.find("nightly").next_at == record.since + 4 * 3600
    assert (first, second) == (5.0, 5.0)


def test_what_is_fired_by_itself_is_put_there_by_the_active_beat(
    base: Base, kept: Schedules, scheduler: Scheduler
) -> None:
    """Unless something is there by that name."""
    base.client.flushdb()
    scheduler.tick()
    put = kept.find("retention")
    own = Schedule(name="retention", workflow="retention", every="3h")
    kept.apply(own, (), "anna@here", base.now())
    scheduler.close()
    Scheduler(scheduler.app).tick()

    assert (put.schedule, put.applied_by) == (STANDING[0], "stepmark")
    assert kept.find("retention").schedule == own


def test_it_sleeps_until_the_next_time(base: Base, scheduler: Scheduler) -> None:
    apply(base, every="3s")

    assert 0 < scheduler.tick() <= 3


def test_what_cannot_be_read_keeps_no_other_from_being_fired(base: Base, scheduler: Scheduler) -> None:
    """Another version wrote it."""
    for name in ("a", "b", "c"):
        apply(base, ago=7200, name=name)
    key = base.keys.beat_entry("b")
    base.client.hset(key, "definition", (base.client.hget(key, "definition") or "").replace("jitter", "wobble"))

    assert scheduler.tick() == 5.0
    assert {member.split()[0] for member in noted(base)} == {"a", "c"}


def test_what_is_applied_anew_while_it_is_fired_keeps_its_new_times(
    base: Base, kept: Schedules, scheduler: Scheduler
) -> None:
    apply(base, ago=7200, every="1h")
    (entry,) = scheduler.schedule.values()
    apply(base, every="7h")
    expected = kept.find("nightly").next_at

    scheduler.maybe_due(entry)

    assert len(noted(base)) == 1
    assert kept.find("nightly").next_at == expected


@pytest.mark.parametrize("removed", [True, False])
def test_what_is_removed_or_paused_while_it_is_fired_does_not_come_back(
    base: Base, kept: Schedules, scheduler: Scheduler, removed: bool
) -> None:
    apply(base, ago=7200, every="1h")
    (entry,) = scheduler.schedule.values()
    if removed:
        kept.remove("nightly")
    else:
        kept.pause(kept.find("nightly"), Pause(by="anna@here", reason="", at=base.now()))

    scheduler.maybe_due(entry)

    assert base.client.zcard(base.keys.beat_due()) == 0
    assert bool(base.client.exists(base.keys.beat_entry("nightly"))) is not removed
    assert scheduler.tick() == 5.0
    assert len(noted(base)) == 1


def test_a_time_whose_message_could_not_be_sent_is_noted(
    base: Base, kept: Schedules, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(base, ago=7200, every="1h")

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("nobody listens")

    monkeypatch.setattr(scheduler.app, "send_task", refuse)

    scheduler.tick()
    scheduler.tick()

    assert len(noted(base)) == 1
    assert base.client.llen(base.keys.queue("wait")) == 0
    assert (kept.find("nightly").next_at or 0) > time.time()


def test_a_beat_that_was_cut_off_for_long_stands_by(base: Base, kept: Schedules, scheduler: Scheduler) -> None:
    """Its lock has lapsed, another one has it."""
    apply(base, every="1h")
    scheduler.tick()
    mine = kept.beat()
    base.client.set(base.keys.beat_lock(), "another/1 token", ex=60)
    apply(base, ago=7200, name="other", every="1h")

    standing_by = scheduler.tick()
    base.client.delete(base.keys.beat_lock())
    scheduler.tick()

    assert mine
    assert mine.endswith(f"/{os.getpid()}")
    assert standing_by == 1.0
    assert len(noted(base)) == 1
    assert kept.beat() == mine
