"""A long queue behind one busy worker is never taken for lost messages: nothing is sent twice, and all of it drains."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration import scripted
from tests.integration.conftest import StartWorker, request, spec
from tests.support import poll, sampled
from workers.launch import Launcher
from workers.reaper import Reaper
from workers.runtime import Base

RUNS = sampled((5_000,), 1_500)[0]
DESTROY_STEPS = 2  # of all workflows the one with the fewest


def test_thousands_of_runs_behind_one_worker(
    base: Base, launcher: Launcher, start_worker: StartWorker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    options = ("-P", "threads", "-c", "1", "-l", "WARNING")
    start_worker(*options, app="tests.integration.backlog_worker", BACKLOG_GATE=str(gate))
    launched = _launch(launcher)  # several at once, so that some messages are sent in another order than they are due
    patience = base.settings.lease_seconds + base.settings.takeover_seconds
    poll(lambda: base.client.llen(base.keys.queue("tools")) == RUNS - 1, seconds=60)
    time.sleep(3 * patience)  # the queue stands for longer than any clock of ours
    costs = _cost(base)
    assert base.client.llen(base.keys.queue("tools")) == RUNS - 1

    gate.touch()
    start_worker(*options, app="tests.integration.backlog_worker", BACKLOG_GATE=str(gate))  # it helps to drain

    poll(lambda: not base.client.zcard(base.keys.due()) and not base.client.zcard(base.keys.leases()), seconds=400)
    events = Counter(fields["event"] for run in launched for fields in base.store.events(run))
    assert events == {
        "launched": RUNS,
        "step-started": RUNS * DESTROY_STEPS,
        "step-ended": RUNS * DESTROY_STEPS,
        "run-ended": RUNS,
    }
    records = base.store.runs(launched).values()
    assert {record.epoch for record in records} == {1}
    assert {done.attempt for record in records for done in record.completed} == {1}
    seconds, commands = costs
    print(f"a look at {RUNS} due runs: {seconds * 1000:.1f} ms, {commands:.0f} Redis commands", file=sys.stderr)
    assert commands < 500


def _launch(launcher: Launcher) -> list[str]:
    """Launch them all, from several threads: an operator's rollout does."""
    specs = [spec(f"web-{number}") for number in range(RUNS)]
    with ThreadPoolExecutor(4) as pool:
        return [place.run for place in pool.map(lambda each: launcher.launch(request(each, "destroy")), specs)]


def _cost(base: Base) -> tuple[float, float]:
    """Seconds and Redis commands a look: the median of looks of our own, while the worker's reaper is held off."""
    base.client.set(base.keys.reaper(), "the test", ex=60)
    reaper, found = Reaper(base, scripted.app), []
    for _ in range(30):
        before = base.client.info("stats")["total_commands_processed"]
        began = time.monotonic()
        reaper.look()
        found.append((time.monotonic() - began, base.client.info("stats")["total_commands_processed"] - before - 1))
    base.client.delete(base.keys.reaper())
    return sorted(found)[len(found) // 2]
