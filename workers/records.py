"""EnvironmentRecord and RunRecord: what Redis holds of an environment and of a run, read back as values."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from tasks.environment import State
from tasks.failure import CompletedStep, EarlierAttempt, FailureContext, RunStatus, TrackedStep

# A run of these still holds its environment.
LIVE = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return None if value == "" else value


class DriftMark(_Record):
    """Drift that was found, and not mended since. since: of the first look that found any; at, run: of the last one.

    add, change, destroy: what a plan would do about it.
    """

    since: float
    at: float
    run: str
    add: int
    change: int
    destroy: int
    summary: str


class EnvironmentRecord(_Record):
    """An environment as kept. run: the live run, or None. partial: its last finished run left steps not possible.

    held_until: nothing begins before, because the tools of its last run may still be ending. checked_at: of the last
    look for drift that came to its end.
    """

    name: str
    state: State
    revision: int
    created_at: float
    updated_at: float
    partial: bool | None = False
    run: str | None = None
    last_run: str | None = None
    held_until: float | None = None
    checked_at: float | None = None
    drift: DriftMark | None = None
    spec: str

    @field_validator("drift", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) and value else value

    @property
    def current_run(self) -> str | None:
        """The live run, else the last one that can be resumed."""
        return self.run or self.last_run


class Gone(_Record):
    """What became of an environment that was forgotten, or renamed to `moved_to`. at: Unix seconds; state: its last."""

    at: float
    by: str
    reason: str | None
    state: str
    moved_to: str | None = None
    host_is_gone: bool = False

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self.at))
        what = f"it is called {self.moved_to} since" if self.moved_to else "it was forgotten at"
        return f"{what} {when}, by {self.by}{f': {self.reason}' if self.reason else ''}"


class RunRecord(_Record):
    """A run as kept, and whether its lease is good. Times are Unix seconds.

    index, step: the place: due when `queued`, held when `running`, tried again at `due_at` when `waiting`.
    retried, taken: how often the step was tried again by itself, and how often after its worker was lost.
    most: while it waits: how often at most it is tried, by the version that had it wait.
    earlier: what failed there before; before: the same of every step, by its index. read_at: by Redis.
    origin_state: of its environment, when the run was launched.
    begun_at: when an operator had it begin, or go on; None: it has not begun.
    lease_until: None when no step runs. ending_seconds: after it, the tools of its worker may still be ending.
    """

    run: str
    token: str
    epoch: int
    delivery: int
    environment: str
    workflow: str
    names: tuple[str, ...]
    queues: tuple[str, ...]
    total: int
    status: RunStatus
    index: int | None = None
    step: str | None = None
    attempt: int | None = None
    execution: str | None = None
    worker: str | None = None
    step_started_at: float | None = None
    due_at: float | None = None
    due_number: int | None = None
    deadline_at: float | None = None
    most: int | None = None
    retried: int = 0
    taken: int = 0
    created_at: float
    begun_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    partial: bool = False
    user: str
    trigger: str
    origin_state: State | None = None
    next: str | None = None
    completed: tuple[CompletedStep, ...] = ()
    earlier: tuple[EarlierAttempt, ...] = ()
    before: Mapping[int, tuple[EarlierAttempt, ...]] = {}
    failure: FailureContext | None = None
    lease_until: float | None = None
    ending_seconds: float = 0.0
    read_at: float

    @property
    def display(self) -> RunStatus:
        """The status as shown: a running run whose lease has lapsed is lost."""
        lapsed = self.lease_until is None or self.lease_until < self.read_at
        return RunStatus.LOST if self.status is RunStatus.RUNNING and lapsed else self.status

    @property
    def kind(self) -> str:
        """The kind of its failure, or empty."""
        return self.failure.error_kind.value if self.failure else ""

    @property
    def again(self) -> str:
        """The kind of the failure that its step is tried again after, or empty."""
        return self.earlier[-1].kind.value if self.earlier else ""

    @property
    def told(self) -> str:
        """What its failure says, else what the last step that ended has left as its note; or empty."""
        if self.failure:
            return self.failure.error_summary
        return self.completed[-1].note if self.completed else ""

    @property
    def queue(self) -> str:
        """The queue of the tracked step."""
        return self.queues[(self.index or 1) - 1]

    @property
    def live(self) -> bool:
        """Whether the run still holds its environment."""
        return self.status in LIVE

    def silent_seconds(self, lease_seconds: float) -> float:
        """How long ago the worker last renewed the lease of a run that is at work, if leases are of that length."""
        if self.status is not RunStatus.RUNNING or self.lease_until is None:
            return 0.0
        return max(0.0, self.read_at - (self.lease_until - lease_seconds))

    def free_at(self, takeover_seconds: float) -> float:
        """When a lost run may be taken over: by our settings or by its worker's, whichever is later."""
        return (self.lease_until or self.read_at) + max(takeover_seconds, self.ending_seconds)

    def tracked(self) -> TrackedStep:
        """The place that the tracker has recorded."""
        return TrackedStep(
            environment=self.environment,
            workflow=self.workflow,
            run=self.run,
            epoch=self.epoch,
            step=self.step or self.names[0],
            index=self.index or 1,
            total=self.total,
            attempt=self.attempt or 0,
            worker=self.worker if self.execution else None,
            run_started_at=self.started_at or self.created_at,
            step_started_at=self.step_started_at,
            completed=self.completed,
        )


def run_record(content: Mapping[str, str], *, lease_until: float | None, read_at: float) -> RunRecord:
    """The record in a run's hash."""
    ended = [json.loads(value) for field, value in content.items() if field.startswith("ended:")]
    values: dict[str, Any] = dict(content)
    values["names"] = json.loads(content["names"])
    values["queues"] = json.loads(content["queues"])
    values["completed"] = sorted(ended, key=lambda step: int(step["index"]))
    index = content.get("index", "")
    values["retried"] = content.get(f"retried:{index}") or 0
    values["taken"] = content.get(f"taken:{index}") or 0
    values["before"] = {
        int(field.partition(":")[2]): json.loads(value)
        for field, value in content.items()
        if field.startswith("earlier:")
    }
    values["earlier"] = values["before"].get(int(index or 0), ())
    values["failure"] = json.loads(content["failure"]) if content.get("failure") else None
    return RunRecord.model_validate({**values, "lease_until": lease_until, "read_at": read_at})
