"""Registry: which workers live, what they are, and which of them are to be drained."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, cast

import redis
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.failure import RunStatus
from workers.beats import BEAT_SECONDS, SILENT_SECONDS
from workers.connection import Script
from workers.keys import Keys
from workers.records import RunRecord
from workers.store import Store

_KEPT_SECONDS = 3600
_LOOK_SECONDS = 0.2


class Condition(StrEnum):
    """How a worker is. drained: it takes no step and runs none. silent: not heard of for three beats."""

    READY = "ready"
    DRAINING = "draining"
    DRAINED = "drained"
    STOPPING = "stopping"
    SILENT = "silent"


class Order(NamedTuple):
    """The last order that a worker has heard. drain: who drains it, or empty."""

    number: int = 0
    drain: str = ""


class NameTakenError(Exception):
    """Another process has the worker's name. heard_at: Unix seconds, as text."""

    def __init__(self, machine: str, pid: str, heard_at: str) -> None:
        super().__init__(machine, pid, heard_at)
        self.machine = machine
        self.pid = pid
        self.heard_at = heard_at


class WorkerRecord(BaseModel):
    """A worker as it describes itself; times are Unix seconds, by Redis. instance: drawn at its start.

    drain: who told it to take no new step, or empty. taking: whether it takes any. stopping: it was told to end.
    running: the runs whose step it works on.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    instance: str
    machine: str
    pid: int
    version: str
    schema_version: int = Field(alias="schema")
    queues: tuple[str, ...]
    slots: int
    started_at: float
    heard_at: float
    drain: str
    taking: bool
    stopping: bool
    read_at: float
    running: tuple[RunRecord, ...] = ()

    @field_validator("queues", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    @property
    def condition(self) -> Condition:
        """How it is now."""
        if self.read_at - self.heard_at > SILENT_SECONDS:
            return Condition.SILENT
        if self.stopping:
            return Condition.STOPPING
        if not self.drain and self.taking:
            return Condition.READY
        return Condition.DRAINING if self.taking or self.running else Condition.DRAINED


class Registry:
    """Every method is one or two round trips, and raises redis.RedisError when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._store = Store(client, keys)
        self._beat, self._leave, self._drain = (Script(client, name) for name in ("beat", "leave", "drain"))

    def beat(self, name: str, instance: str, order: Order, fields: Mapping[str, object], crew: str = "") -> Order:
        """Say that the worker lives. The last order for it. crew: who starts it again when it dies, or empty.

        Raises:
            NameTakenError: another instance of that name lives.
        """
        words = [word for pair in fields.items() for word in pair]
        what, *rest = self._beat(
            (self._keys.worker(name), self._keys.workers()),
            *(name, instance, order.number, order.drain, SILENT_SECONDS, _KEPT_SECONDS, crew, *words),
        )
        if what == "taken":
            raise NameTakenError(*rest)
        return Order(int(rest[0]), rest[1])

    def leave(self, name: str, instance: str) -> None:
        """Forget a worker that ends."""
        self._leave((self._keys.worker(name), self._keys.workers()), name, instance)

    def drain(self, name: str, by: str) -> bool:
        """Order a worker to take no new step; by nobody: to take steps again. False: there is no such worker."""
        return bool(self._drain((self._keys.worker(name),), by))

    def workers(self) -> tuple[WorkerRecord, ...]:
        """All workers that were heard of in the last hour and have not ended, by name."""
        names = sorted(cast("list[str]", self._client.zrange(self._keys.workers(), 0, -1)))
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(self._keys.worker(name))
        pipe.time()
        *contents, (seconds, microseconds) = pipe.execute()
        running = self._running()
        return tuple(
            WorkerRecord.model_validate(
                content | {"read_at": seconds + microseconds / 1e6, "running": running.get(content["name"], ())}
            )
            for content in contents
            if content
        )

    def twin(self, names: Collection[str]) -> WorkerRecord | None:
        """A worker that lives under one of these names: it beats while this looks. One that was killed does not."""
        first = {each.name: each.heard_at for each in self.workers() if each.name in names}
        end = time.monotonic() + 1.5 * BEAT_SECONDS
        while first and time.monotonic() < end:
            for each in self.workers():
                if each.heard_at > first.get(each.name, each.heard_at):
                    return each
            time.sleep(_LOOK_SECONDS)
        return None

    def _running(self) -> Mapping[str, tuple[RunRecord, ...]]:
        """The runs at work, by worker: those of the executions that hold a lease."""
        executions = cast("list[str]", self._client.zrange(self._keys.leases(), 0, -1))
        found: dict[str, tuple[RunRecord, ...]] = {}
        for run in self._store.runs({execution.partition(".")[0] for execution in executions}).values():
            if run.status is RunStatus.RUNNING and run.worker:
                found[run.worker] = (*found.get(run.worker, ()), run)
        return found
