"""Strikes: what the driver does to workers, tools, Redis and the network when the runs are where they are to be hit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Sequence

from tasks.adapters import guard
from tests.faults.fault import Driver
from tests.faults.site import Site
from tests.faults.trial import Trial
from tests.support import poll
from workers import chain

Strike = Callable[[Site, Sequence[Trial]], None]


def task_id(trial: Trial) -> str:
    """Celery's id of the hit step's first message."""
    place = trial.place
    assert place
    return f"{place.run}.{place.epoch}.{place.delivery}.{trial.cell.index}"


def _kill_worker(site: Site, _: Sequence[Trial]) -> None:
    site.workers[0].signal(signal.SIGKILL)
    site.rescue()


def _stop_worker(site: Site, _: Sequence[Trial]) -> None:
    site.workers[0].signal(signal.SIGSTOP)
    site.rescue()


def _cut(site: Site, _: Sequence[Trial]) -> None:
    site.proxy.cut()
    site.rescue()


def _stall(site: Site, _: Sequence[Trial]) -> None:
    site.proxy.stall()
    site.rescue()


def _kill_redis(site: Site, trials: Sequence[Trial]) -> None:
    site.restart_redis(trials[0].cell.fault.outage_seconds)


def _kill_child(_: Site, trials: Sequence[Trial]) -> None:
    for trial in trials:
        os.kill(_pid(trial), signal.SIGKILL)


def _kill_tool(_: Site, trials: Sequence[Trial]) -> None:
    """A pool's child has a guard for a child, and the guard has the tool."""
    for trial in trials:
        living = guard.processes()
        guards = [pid for pid, (parent, _, _) in living.items() if parent == _pid(trial)]
        tools = [pid for pid, (parent, _, _) in living.items() if parent in guards]
        if len(tools) != 1:
            raise AssertionError(f"{len(tools)} tools run under {len(guards)} guards")
        os.kill(tools[0], signal.SIGKILL)


def _duplicate(site: Site, trials: Sequence[Trial]) -> None:
    for trial in trials:
        assert trial.place
        again = dataclasses.replace(trial.place, index=trial.cell.index)
        for _ in range(2):
            chain.send(site.app, again)


def _terminate(site: Site, trials: Sequence[Trial]) -> None:
    """As Flower's API does it."""
    for trial in trials:
        site.app.control.revoke(task_id(trial), terminate=True, signal="SIGTERM")


def _cancel(site: Site, trials: Sequence[Trial]) -> None:
    for trial in trials:
        assert trial.place
        site.base.tracker.cancel(site.base.store.run(trial.place.run), "tester@here", "the matrix")


def _pid(trial: Trial) -> int:
    reached = trial.marks.reached()
    assert reached
    return reached[0]


STRIKES: dict[Driver, Strike] = {
    Driver.KILL_WORKER: _kill_worker,
    Driver.STOP_WORKER: _stop_worker,
    Driver.KILL_CHILD: _kill_child,
    Driver.KILL_TOOL: _kill_tool,
    Driver.KILL_REDIS: _kill_redis,
    Driver.CUT: _cut,
    Driver.STALL: _stall,
    Driver.DUPLICATE: _duplicate,
    Driver.TERMINATE: _terminate,
    Driver.CANCEL: _cancel,
}


def strike(site: Site, trials: Sequence[Trial]) -> None:
    """Do it to these trials, which share a fault, and note when."""
    at = time.time()
    for trial in trials:
        trial.struck_at = at
    STRIKES[trials[0].cell.fault.driver](site, trials)


def undo(site: Site, driver: Driver) -> None:
    """Let the worker that was away come back, and wait until it works on nothing any more."""
    if driver is Driver.STOP_WORKER:
        site.workers[0].signal(signal.SIGCONT)
    elif driver in (Driver.CUT, Driver.STALL):
        site.proxy.restore()
    else:
        return
    with contextlib.suppress(AssertionError):  # then the worker's end tells in the judgement
        poll(lambda: site.idle(site.workers[0]), seconds=60, every=0.5)
