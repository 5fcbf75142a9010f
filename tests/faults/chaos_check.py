"""What must be true after a chaos run, when all is calm again. Each function gives what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from tasks.errors import Kind
from tasks.failure import RunStatus
from tests import sights
from tests.faults.chaos_deeds import Scene
from tests.faults.chaos_world import World
from workers.records import RunRecord
from workers.runtime import Base

ENDED = {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}
_KINDS = {Kind.WORKER_LOST, Kind.COMMAND_EXECUTION, Kind.CANCELLED, Kind.STATE_PERSISTENCE}
_BEGINNINGS = {"launched", "resumed", "retry", "taken-over", "handed-over", "sent-again"}


def all_runs(base: Base) -> list[RunRecord]:
    """Every run of every environment."""
    ids = [run for record in base.store.environments() for run in base.store.history(record.name)]
    return list(base.store.runs(ids).values())


def unfinished(base: Base) -> list[str]:
    """Runs that have not ended, and what waits in Redis for nobody."""
    left = [
        f"run {record.run} of {record.environment} is {record.display.value} at {record.index}"
        for record in all_runs(base)
        if record.status not in ENDED
    ]
    keys = base.keys
    for key in (keys.leases(), keys.due(), keys.retries(), keys.deadlines()):
        left += [f"{key} has {member}" for member in base.client.zrange(key, 0, 3)]
    left += [f"{keys.cancels()} has {run}" for run in base.client.hkeys(keys.cancels())]
    return left


def broken(scene: Scene) -> list[str]:
    """All that is not as it must be, once nothing is unfinished."""
    base, world = scene.base, scene.world
    found = [f"environment {each.name} is held by {each.run}" for each in base.store.environments() if each.run]
    found += [f"process {pid} is left: {words}" for pid, words in world.tools().items()]
    found += [f"pool process {pid} is left" for pid in world.strays()]
    found += _on_hosts(world)
    for record in all_runs(base):
        found += [f"run {record.run}: {words}" for words in _of_run(base, record)]
    found += sights.disagreements(base)
    if (size := base.client.xlen(base.keys.events())) > 11_000:
        found.append(f"{size} events are kept")
    return found


def _on_hosts(world: World) -> Iterator[str]:
    """From the host's own log: never two at once, never one execution twice."""
    lines = [line.split() for line in (world.folder / "host.log").read_text().splitlines()]
    yield from (" ".join(line) for line in lines if line[0] == "overlap")
    starts = Counter((line[2], line[3]) for line in lines if line[0] == "start")
    yield from (f"{step} of {scope} began {count} times" for (step, scope), count in starts.items() if count > 1)


def _of_run(base: Base, record: RunRecord) -> Iterator[str]:
    events = base.store.events(record.run)
    starts = Counter((event["epoch"], event["index"]) for event in events if event["event"] == "step-started")
    yield from (
        f"step {index} began {count} times in epoch {epoch}" for (epoch, index), count in starts.items() if count > 1
    )
    yield from _epochs(record, events, came_back=float(base.client.hget(base.keys.server(), "back_at") or 0) > 0)
    yield from _order(events)
    if record.status is RunStatus.SUCCEEDED and [done.index for done in record.completed] != [1, 2, 3, 4]:
        yield f"it succeeded with {[done.index for done in record.completed]} done"
    if record.status is not RunStatus.SUCCEEDED:
        yield from _of_failure(record, events)


def _epochs(record: RunRecord, events: tuple[dict[str, str], ...], *, came_back: bool) -> Iterator[str]:  # type: ignore[misc]
    """Each beginning has an epoch of its own, the next one; after Redis came back some are left out."""
    beginnings = sum(event["event"] in _BEGINNINGS for event in events)
    if beginnings > record.epoch or (beginnings != record.epoch and not came_back):
        yield f"it is in epoch {record.epoch}, after {beginnings} beginnings"
    if any(int(after["epoch"]) < int(before["epoch"]) for before, after in pairwise(events)):
        yield "its epoch went back"
    if len({event["epoch"] for event in events if event["event"] == "step-started"}) > beginnings:
        yield "it has had more epochs than beginnings"


def _order(events: tuple[dict[str, str], ...]) -> Iterator[str]:  # type: ignore[misc]
    """No step begins before the one before it has ended well, and none begins after that."""
    done = 0
    for event in events:
        index = int(event["index"])
        if event["event"] == "step-started" and index != done + 1:
            yield f"step {index} began after step {done} had ended"
        if event["event"] == "step-ended":
            done = index


def _of_failure(record: RunRecord, events: tuple[dict[str, str], ...]) -> Iterator[str]:  # type: ignore[misc]
    context = record.failure
    if context is None:
        yield f"it is {record.status.value} without a context"
        return
    done = [int(event["index"]) for event in events if event["event"] == "step-ended"]
    wanted = (done[-1] if done else 0) + 1
    if (context.step_index, context.failed_step) != (wanted, record.names[wanted - 1]):
        yield f"its context names {context.step_index} {context.failed_step}, tracked was {wanted}"
    if context.error_kind not in _KINDS:
        yield f"it failed as {context.error_kind.value}: {context.error_summary}"
    for before, after in pairwise(events):
        if before["event"] == "run-failed" and after["event"] not in ("resumed", "cancel-asked"):
            yield f"{after['event']} came after it had failed"
