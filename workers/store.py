"""Store: reads environments, runs, facts, events, logs and traces; decides nothing and changes no run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import redis
from pydantic import ValidationError

from tasks.facts import Facts
from tasks.failure import RunStatus
from tasks.identity import SCHEMA
from workers.keys import Keys
from workers.records import LIVE, EnvironmentRecord, Gone, RunRecord, run_record
from workers.refusals import NotFoundError, other_schema

logger = logging.getLogger(__name__)

_SENDING_SECONDS = 2.0
# Of quick steps one may end in each of several readings; a run that has lost its lease for good stays without.
_READINGS = 5
_GLANCED = ("schema", "environment", "status", "next", "queues", "index", "due_at", "due_number")


class Glance(NamedTuple):
    """What is asked of thousands of runs each second, under the names of `RunRecord`, which takes long to read."""

    run: str
    environment: str
    status: RunStatus
    next: str | None
    queue: str
    due_at: float | None
    due_number: int | None

    @property
    def live(self) -> bool:
        """Whether the run still holds its environment."""
        return self.status in LIVE


class Store:
    """What all commands and callbacks read. Every method raises redis.RedisError when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys

    def environment(self, name: str) -> EnvironmentRecord:
        """One environment.

        Raises:
            NotFoundError: it was never launched, or is gone since.
            RefusedError: another version keeps it in another way.
        """
        content = cast("dict[str, str]", self.client.hgetall(self.keys.environment(name)))
        if not content or "moved_to" in content:
            raise NotFoundError(f"environment {name!r}", *self._what_became_of(name))
        if schema := _other_schema(content):
            raise other_schema(f"environment {name}", schema)
        return EnvironmentRecord.model_validate(content)

    def _what_became_of(self, name: str) -> tuple[str, ...]:
        """Words on an environment that was forgotten or renamed, if it was."""
        if (kept := cast("str | None", self.client.hget(self.keys.gone(), name))) is None:
            return ()
        return (str(Gone.model_validate_json(kept)),)

    def environments(self, some: Iterable[str] | None = None) -> tuple[EnvironmentRecord, ...]:
        """All environments, or some, by name."""
        names = sorted(cast("set[str]", self.client.smembers(self.keys.environments())) if some is None else some)
        contents = self._hashes(self.keys.environment(name) for name in names)
        return tuple(record for content in contents if content and (record := _readable(content)))

    def run(self, run: str) -> RunRecord:
        """One run.

        Raises:
            NotFoundError: there is none, or it is past its retention.
            RefusedError: another version keeps it in another way.
        """
        found = self.runs([run])
        if run in found:
            return found[run]
        if schema := self.foreign(run):
            raise other_schema(f"run {run}", schema)
        raise NotFoundError(f"run {run!r}")

    def foreign(self, run: str) -> str:
        """The schema of a run that another version keeps; empty if there is none, or it is ours."""
        schema = cast("str | None", self.client.hget(self.keys.run(run), "schema"))
        return "" if schema is None else _other_schema({"schema": schema})

    def runs(self, ids: Iterable[str]) -> Mapping[str, RunRecord]:
        """Those of the runs that exist, by id. Runs that another version keeps are left out: they are for it."""
        found = self._read_runs(ids)
        for _ in range(_READINGS):
            # A running run has a lease; one without has ended, or gone on, between the two readings.
            moved = [run for run, each in found.items() if each.status is RunStatus.RUNNING and not each.lease_until]
            if not moved:
                break
            found |= self._read_runs(moved)
        return found

    def glances(self, ids: Iterable[str]) -> dict[str, Glance]:
        """As `runs`, but only a glance at each."""
        runs = tuple(ids)
        pipe = self.client.pipeline(transaction=False)
        for run in runs:
            pipe.hmget(self.keys.run(run), _GLANCED)
        found = zip(runs, cast("list[list[str]]", pipe.execute()), strict=True)
        ours = (_glance(run, *content) for run, (schema, *content) in found if schema == str(SCHEMA))
        return {glance.run: glance for glance in ours if glance}

    def _read_runs(self, ids: Iterable[str]) -> dict[str, RunRecord]:
        read = self._hashes(map(self.keys.run, ids))
        contents = [content for content in read if content and not _other_schema(content)]
        if not contents:
            return {}
        pipe = self.client.pipeline(transaction=False)
        for content in contents:
            pipe.zscore(self.keys.leases(), content.get("execution") or "-")
        pipe.time()
        *leases, (seconds, microseconds) = pipe.execute()
        read_at = seconds + microseconds / 1e6
        records = (_run_record(content, lease, read_at) for content, lease in zip(contents, leases, strict=True))
        return {record.run: record for record in records if record}

    def overtaken(self, some: Iterable[Glance | RunRecord]) -> tuple[str, ...]:
        """Those queued runs whose message must be lost: a later one of its queue was started, or none is left.

        A chain's first step is due a moment before its message is sent: a later one may have been sent before it.
        """
        due = [run for run in some if run.status is RunStatus.QUEUED]
        marks = cast("dict[str, str]", self.client.hgetall(self.keys.queues())) if due else {}
        waiting = {queue: self.client.llen(self.keys.queue(queue)) for queue in {run.queue for run in due}}
        return tuple(run.run for run in due if not waiting[run.queue] or _passed(run, marks))

    def history(self, environment: str) -> tuple[str, ...]:
        """The ids of an environment's runs, newest first."""
        return tuple(cast("list[str]", self.client.zrevrange(self.keys.runs(environment), 0, -1)))

    def checks(self, environment: str) -> tuple[str, ...]:
        """The ids of an environment's last looks for drift, newest first."""
        return tuple(cast("list[str]", self.client.zrevrange(self.keys.checks(environment), 0, -1)))

    def facts(self, environment: str) -> Facts:
        """What is known of an environment's host."""
        return parse_facts(cast("dict[str, str]", self.client.hgetall(self.keys.facts(environment))))

    def events(self, run: str) -> tuple[Mapping[str, str], ...]:
        """A run's history, oldest first."""
        entries = cast("list[tuple[str, dict[str, str]]]", self.client.xrange(self.keys.run_events(run)))
        return tuple(fields for _, fields in entries)

    def trace(self, trace: str) -> Mapping[str, Any] | None:
        """A trace as kept, or None."""
        content = cast("str | None", self.client.get(self.keys.trace(trace)))
        return None if content is None else cast("dict[str, Any]", json.loads(content))

    def traces(self, environment: str) -> tuple[str, ...]:
        """The ids of an environment's traces, newest first."""
        return tuple(cast("list[str]", self.client.zrevrange(self.keys.traces(environment), 0, -1)))

    def _hashes(self, keys: Iterable[str]) -> list[dict[str, str]]:
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        return cast("list[dict[str, str]]", pipe.execute())


def _other_schema(content: Mapping[str, str]) -> str:
    """The schema that it is kept in, if that is not ours."""
    schema = content.get("schema", str(SCHEMA))
    return "" if schema == str(SCHEMA) else schema


def _glance(run: str, environment: str, status: str, *more: str | None) -> Glance | None:
    following, queues, index, due_at, due_number = more
    try:
        queue = json.loads(queues or "[]")[int(index or 1) - 1]
        due = float(due_at) if due_at else None, int(due_number) if due_number else None
        return Glance(run, environment, RunStatus(status), following or None, queue, *due)
    except (ValueError, IndexError) as error:
        logger.warning("Run %s cannot be read; has another version written it? %s", run, error)
        return None


def _passed(run: Glance | RunRecord, marks: Mapping[str, str]) -> bool:
    """Whether its queue's watermark is past its step: by number, and by more time than a message takes to be sent."""
    number, at = (float(marks.get(f"{name}:{run.queue}", 0)) for name in ("seen", "seen_at"))
    return number > (run.due_number or 0) and at > (run.due_at or 0) + _SENDING_SECONDS


def _readable(content: Mapping[str, str]) -> EnvironmentRecord | None:
    """The record, or None with a warning: one that another version wrote must not hide all the others."""
    if schema := _other_schema(content):
        refusal = other_schema(f"environment {content.get('name')}", schema)
        logger.warning("%s; %s", refusal, refusal.advice)
        return None
    try:
        return EnvironmentRecord.model_validate(content)
    except ValidationError as error:
        logger.warning("Environment %s cannot be read: %s", content.get("name"), error)
        return None


def _run_record(content: Mapping[str, str], lease_until: float | None, read_at: float) -> RunRecord | None:
    try:
        return run_record(content, lease_until=lease_until, read_at=read_at)
    except (ValueError, KeyError) as error:
        logger.warning("Run %s cannot be read; has another version written it? %s", content.get("run"), error)
        return None


def parse_facts(fields: Mapping[str, str]) -> Facts:
    """The facts in a hash of JSON values."""
    return Facts.model_validate({name: json.loads(value) for name, value in fields.items()})


def changed_facts(before: Facts, after: Facts) -> dict[str, str]:
    """The fields that differ, as JSON."""
    if after == before:
        return {}
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {name: json.dumps(value) for name, value in new.items() if value != old[name]}
