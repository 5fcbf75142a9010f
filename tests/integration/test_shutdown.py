"""Workers that are told to stop: running steps end or are handed over, and nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.adapters import guard
from tasks.failure import RunStatus
from tests.faults.chaos_world import LEASE_SECONDS, Worker, World
from tests.integration import stage
from tests.integration.stage import at_host, at_work, ended, events, launch
from tests.support import REPOSITORY, poll
from workers import runtime
from workers.runtime import Base

STEPS = ("first", "second")  # of a pool of threads, of a pool of processes

# What `stepmark worker` does, for workers of the tests.
CREW = """
import sys
from workers.crew import Crew
start = (sys.executable, "-m", "celery", "-A", "tests.faults.chaos_worker", "worker", "-l", "INFO")
wait = (*start, "-Q", "wait", "-P", "threads", "-c", "4", "-n", "wait@crew")
tools = (*start, "-Q", "tools", "-P", "prefork", "-c", "2", "-n", "tools@crew")
sys.exit(not Crew({"wait": wait, "tools": tools}).run())
"""


@pytest.fixture
def shutdown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting, as the test is marked."""
    monkeypatch.setenv("STEPMARK_SHUTDOWN", getattr(request, "param", "finish"))


@pytest.fixture
def world(shutdown: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A Redis, and two workers for each queue."""
    with stage.running(tmp_path, monkeypatch, each=2) as found:
        yield found


@pytest.fixture
def base(world: World) -> Base:
    """What the operator has."""
    return runtime.base(Settings())


def working(world: World, base: Base, run: str, step: str) -> Worker:
    """The worker that runs the step, once its program runs."""
    poll(lambda: at_host(world, "start", step))
    return at_work(world, base, run)


def stopped(worker: Worker, seconds: float = 30) -> int:
    """The worker's exit status."""
    assert worker.process
    return worker.process.wait(seconds)


def told_again(worker: Worker) -> None:
    """Give it the second signal, once it has heard the first."""
    poll(lambda: "Warm shutdown" in worker.log.read_text())
    worker.signal(signal.SIGTERM)


@pytest.mark.parametrize("step", STEPS)
def test_a_running_step_ends_and_the_run_goes_on_elsewhere(step: str, world: World, base: Base) -> None:
    [run] = launch(base, 4, 1, step)
    worker = working(world, base, run, step)

    worker.signal(signal.SIGTERM)

    [record] = ended(base, [run])
    assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 1), record.failure
    assert stopped(worker) == 0
    assert at_host(world, "interrupted") == []
    after = [event["worker"] for event in base.store.events(run) if event["event"] == "step-started"]
    assert f"{worker.name}@chaos" not in after[record.names.index(step) + 1 :]
    stage.harmless(world)


def _handed_over(world: World, base: Base, run: str, worker: Worker) -> None:
    [record] = ended(base, [run], seconds=25)  # it would have run for 40 s, and knows that its outcome is not known
    assert record.status is RunStatus.SUCCEEDED, record.failure
    assert stopped(worker) == 0
    # The worker may still take the new message itself before it is deaf, and hands it over at once.
    assert 1 <= events(base, run)["handed-over"] == record.epoch - 1
    assert 1 <= len(at_host(world, "interrupted")) < record.epoch
    stage.harmless(world)


@pytest.mark.parametrize("shutdown", ["hand-over"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
def test_a_running_step_is_handed_over_if_the_setting_says_so(step: str, world: World, base: Base) -> None:
    [run] = launch(base, 40, 1, step)
    worker = working(world, base, run, step)

    worker.signal(signal.SIGTERM)

    _handed_over(world, base, run, worker)


@pytest.mark.parametrize("step", STEPS)
def test_the_second_signal_hands_over(step: str, world: World, base: Base) -> None:
    [run] = launch(base, 40, 1, step)
    worker = working(world, base, run, step)

    worker.signal(signal.SIGTERM)
    told_again(worker)

    _handed_over(world, base, run, worker)


def test_quit_kills_a_pool_of_processes_and_the_run_goes_on_elsewhere(world: World, base: Base) -> None:
    [run] = launch(base, 40, 1, "second")
    worker = working(world, base, run, "second")

    worker.signal(signal.SIGQUIT)

    [record] = ended(base, [run], seconds=30)
    assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 2), record.failure
    assert len(at_host(world, "interrupted")) == 1
    stopped(worker)
    stage.harmless(world)


def test_quit_cannot_kill_threads_so_their_steps_end(world: World, base: Base) -> None:
    [run] = launch(base, 8, 1, "first")
    worker = working(world, base, run, "first")

    worker.signal(signal.SIGQUIT)

    [record] = ended(base, [run])
    assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 1), record.failure
    stopped(worker)
    stage.harmless(world)


@pytest.fixture
def crew(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """Both processes under one command, and no other worker."""
    for worker in world.workers:
        worker.signal(signal.SIGTERM)
    for worker in world.workers:
        stopped(worker)
    log = world.folder / "crew.log"
    with log.open("wb") as output:
        argv = (sys.executable, "-c", CREW)
        found = subprocess.Popen(argv, cwd=REPOSITORY, env=os.environ, stdout=output, stderr=output)
    poll(lambda: log.read_text().count("crew ready") == 2)
    yield found
    found.kill()  # its processes are tied to it
    found.wait()


@pytest.mark.parametrize("step", STEPS)
def test_one_signal_to_a_crew_interrupts_nothing(
    step: str, world: World, base: Base, crew: subprocess.Popen[bytes]
) -> None:
    """One of its processes has nothing to do and ends at once; the other has time."""
    [run] = launch(base, 5, 1, step)
    poll(lambda: at_host(world, "start", step))

    crew.send_signal(signal.SIGTERM)

    assert crew.wait(40) == 0
    assert len(at_host(world, "end", step)) == 1
    assert at_host(world, "interrupted") == []
    record = base.store.run(run)
    assert (record.status, record.epoch, record.index) == (RunStatus.QUEUED, 1, record.names.index(step) + 2)


@pytest.mark.parametrize("step", STEPS)
def test_two_signals_to_a_crew_hand_over(step: str, world: World, base: Base, crew: subprocess.Popen[bytes]) -> None:
    [run] = launch(base, 40, 1, step)
    poll(lambda: at_host(world, "start", step))

    crew.send_signal(signal.SIGTERM)
    poll(lambda: "Warm shutdown" in (world.folder / "crew.log").read_text())
    time.sleep(1)
    crew.send_signal(signal.SIGTERM)

    assert crew.wait(30) == 0
    record = base.store.run(run)
    assert (record.status, record.epoch, record.step) == (RunStatus.QUEUED, 2, step)
    assert events(base, run)["handed-over"] == 1


def _member(crew: subprocess.Popen[bytes], queue: str) -> int | None:
    """The main process of the crew that serves the queue, if it lives."""
    for pid, (parent, _, _) in guard.processes().items():
        if parent == crew.pid and f"{queue}@crew".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def test_a_process_that_dies_is_started_again(world: World, base: Base, crew: subprocess.Popen[bytes]) -> None:
    """And the other one goes on meanwhile: nobody waits for its long steps."""
    [long] = launch(base, 40, 1, "first", name="long")
    [lost] = launch(base, 30, 1, "second", name="lost")
    poll(lambda: at_host(world, "start", "second"))
    killed = poll(lambda: _member(crew, "tools"))

    os.kill(killed, signal.SIGKILL)

    [record] = ended(base, [lost], seconds=40)
    assert (record.status, record.epoch) == (RunStatus.SUCCEEDED, 2), record.failure
    assert _member(crew, "tools") not in (None, killed)
    assert base.store.run(long).status is RunStatus.RUNNING
    assert at_host(world, "overlap") == []


def test_the_last_worker_reaps_until_its_last_step_has_ended(
    world: World, base: Base, crew: subprocess.Popen[bytes]
) -> None:
    launch(base, 60, 1)
    poll(lambda: at_host(world, "start"))

    crew.send_signal(signal.SIGTERM)

    poll(lambda: _member(crew, "tools") is None)
    at = base.now()
    poll(lambda: float(base.client.hget(base.keys.server(), "seen")) > at + LEASE_SECONDS)
    crew.send_signal(signal.SIGTERM)
    assert crew.wait(30) == 0
    assert base.client.get(base.keys.reaper()) is None


def test_a_rolling_deploy_loses_nothing(world: World, base: Base) -> None:
    """Workers are replaced one after the other while runs go on: every step runs once."""
    runs: list[str] = []
    for worker in world.workers:
        runs += launch(base, 0.5, 20, name=worker.name)
        poll(partial(_has_served, base, runs, f"{worker.name}@chaos"))
        worker.signal(signal.SIGTERM)
        assert stopped(worker, 20) == 0
        worker.start()

    assert {record.status for record in ended(base, runs, seconds=120)} == {RunStatus.SUCCEEDED}
    assert len(at_host(world, "start")) == len(at_host(world, "end")) == 80 * 4
    stage.harmless(world)


def _has_served(base: Base, runs: list[str], worker: str) -> bool:
    return worker in {record.worker for record in base.store.runs(runs).values()}
