"""The ideal: how long a rollout would take if everything but the simulated work cost nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from benchmarks.simulated import work
from benchmarks.simulated.site import WORKERS
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import Queue

_SLOTS = {queue: sum(threads for served, threads in WORKERS.values() if served == queue.value) for queue in Queue}


def makespan(seed: str, names: Iterable[str], max_parallel: int) -> float:
    """Seconds: first come, first served, on as many slots as the workers have, and so many environments at a time.

    The pauses before retries are taken at their mean.
    """
    pending = list(reversed(list(names)))
    free = {queue: [0.0] * slots for queue, slots in _SLOTS.items()}
    ready: list[tuple[float, int, str, list[tuple[Queue, float, float]]]] = []
    order = 0
    for _ in range(min(max_parallel, len(pending))):
        name = pending.pop()
        heapq.heappush(ready, (0.0, order, name, _attempts(seed, name)))
        order += 1
    end = 0.0
    while ready:
        at, _, name, left = heapq.heappop(ready)
        queue, seconds, pause = left[0]
        done = max(at, heapq.heappop(free[queue])) + seconds
        heapq.heappush(free[queue], done)
        end = max(end, done)
        if len(left) > 1:
            heapq.heappush(ready, (done + pause, order, name, left[1:]))
        elif pending:
            follower = pending.pop()
            heapq.heappush(ready, (done, order, follower, _attempts(seed, follower)))
        order += 1
    return end


def _attempts(seed: str, name: str) -> list[tuple[Queue, float, float]]:
    """Each attempt of each step: its queue, its seconds, and the pause after it."""
    found = []
    for step in (*WORKFLOWS["provision"].steps, *WORKFLOWS["configure"].steps):
        attempt = 1
        while fault := work.fault(seed, name, step.name, attempt):
            pause = step.retry.wait_seconds(fault.kind, attempt - 1, 0.5)
            found.append((step.queue, work.seconds(seed, name, step.name), pause or 0.0))
            if pause is None:
                return found
            attempt += 1
        found.append((step.queue, work.seconds(seed, name, step.name), 0.0))
    return found
