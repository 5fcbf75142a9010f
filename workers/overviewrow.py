"""What a row of the overview says: of an environment, and of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tasks.failure import RunStatus


class Row(NamedTuple):
    """What `row.lua` says of an environment and of its run, as text; empty where there is nothing to say.

    run: the live one, else the last one that can be resumed. status: as shown, `lost` too.
    execution: of the step that runs. kind: of the run's failure. again: of the last attempt of its step before.
    queue: in which it waits, if it is queued.
    """

    environment: str
    schema: str
    state: str
    state_partial: str
    updated_at: str
    run: str
    epoch: str
    workflow: str
    step_index: str
    total: str
    step: str
    status: str
    attempt: str
    partial: str
    execution: str
    worker: str
    due_at: str
    step_started_at: str
    started_at: str
    created_at: str
    ended_at: str
    ending_seconds: str
    next: str
    most: str
    kind: str
    retried: str
    taken: str
    again: str
    run_schema: str
    drifted: str
    begun_at: str
    queue: str


@dataclass(frozen=True, slots=True)
class Sight:
    """A run as it is seen from afar: what a row says of it, under the names that `RunRecord` has for it.

    queue: in which it waits; empty: in none, or another version has written the row.
    told: what its failure or its last step has said, where that was heard of.
    """

    environment: str
    run: str
    epoch: int
    workflow: str
    index: int | None
    total: int
    step: str
    status: str
    attempt: int
    partial: bool
    worker: str
    due_at: float | None
    step_started_at: float | None
    started_at: float | None
    begun_at: float | None
    created_at: float
    ended_at: float | None
    ending_seconds: float
    next: str
    most: int | None
    kind: str
    retried: int
    taken: int
    again: str
    lease_until: float | None
    read_at: float
    queue: str = ""
    told: str = ""

    @property
    def display(self) -> str:
        """The status as shown."""
        return self.status

    @property
    def live(self) -> bool:
        """Whether the run still holds its environment."""
        return self.status in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.LOST)

    def free_at(self, takeover_seconds: float) -> float:
        """When a lost run may be taken over: by our settings or by its worker's, whichever is later."""
        return (self.lease_until or self.read_at) + max(takeover_seconds, self.ending_seconds)


class Standing(NamedTuple):
    """An environment as it is seen from afar: what a row says of it, under the names that `EnvironmentRecord` has."""

    name: str
    state: str
    partial: bool
    drift: bool
    updated_at: float


def standing(row: Row) -> Standing:
    """The environment in a row."""
    return Standing(row.environment, row.state, row.state_partial == "1", row.drifted == "1", float(row.updated_at))


def sight(row: Row, at: float, lapsed: Mapping[str, float], told: str = "") -> Sight:
    """The run in a row, read `at`. lapsed: executions whose lease has lapsed, and when."""
    return Sight(
        environment=row.environment,
        run=row.run,
        epoch=int(row.epoch),
        workflow=row.workflow,
        index=int(row.step_index) if row.step_index else None,
        total=int(row.total),
        step=row.step,
        status=row.status,
        attempt=int(row.attempt or 0),
        partial=row.partial == "1",
        worker=row.worker,
        due_at=_number(row.due_at),
        step_started_at=_number(row.step_started_at),
        started_at=_number(row.started_at),
        begun_at=_number(row.begun_at),
        created_at=float(row.created_at),
        ended_at=_number(row.ended_at),
        ending_seconds=float(row.ending_seconds or 0),
        next=row.next,
        most=int(row.most) if row.most else None,
        kind=row.kind,
        retried=int(row.retried or 0),
        taken=int(row.taken or 0),
        again=row.again,
        lease_until=lapsed.get(row.execution),
        read_at=at,
        queue=row.queue,
        told=told,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
