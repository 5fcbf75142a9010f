"""Schedules as they are kept in Redis: what is fired, over which environments, and beat's entry of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import redis
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from config.fleet import EnvironmentSpec, Schedule
from config.model import Model
from config.rollout import Policy
from config.timetable import Timetable
from workers.firingrecord import Due, Firing
from workers.keys import Keys
from workers.notices import Pause
from workers.refusals import NotFoundError, RefusedError
from workers.rolloutscript import RolloutScript

FIRE = "stepmark.fire_schedule"
BEGUN = "begun:"
"""A field of a schedule, and the time of a firing: the id of its rollout, until it has been dealt with."""
ROLLOUT = "rollout."
"""What a change of the policy's fields begins with."""
# What is done by itself whether or not a fleet file says so. One that is applied by the same name takes its place.
STANDING = (Schedule(name="retention", workflow="retention", cron="10 4 * * *", jitter="30m", missed="run-once"),)

_DEFAULT = Policy()
_SPECS = TypeAdapter(tuple[EnvironmentSpec, ...])
_PARTS = ("year", "month", "day", "hour", "minute", "second", "microsecond")
_JSON = ("schedule", "environments", "policy", "paused")
_FIELDS = (*_JSON, "since", "applied_at", "applied_by", "waiting")


class ScheduleRecord(BaseModel):
    """A schedule as kept. Times are Unix seconds.

    environments: the names of what it selects. policy: how its rollouts go. since: from when on its interval is
    counted. waiting: the firing that waits for an earlier one. next_at: when it is due; None: it is paused.
    """

    model_config = ConfigDict(frozen=True)

    schedule: Schedule
    environments: tuple[str, ...]
    policy: Policy = Policy()
    since: float
    applied_at: float
    applied_by: str
    paused: Pause | None = None
    waiting: str | None = None
    next_at: float | None = None

    @property
    def timetable(self) -> Timetable:
        """Its times."""
        return self.schedule.timetable(self.since)


class Change(NamedTuple):
    """What `apply` would change of a field, as JSON values. field: the schedule's, or `rollout.FIELD` of the policy."""

    field: str
    old: Any
    new: Any


class Changes(NamedTuple):
    """What `apply` would change. environments: `+ NAME` new, `- NAME` gone, `~ NAME` otherwise declared."""

    fields: tuple[Change, ...] = ()
    environments: tuple[str, ...] = ()


class Schedules:
    """All schedules that were applied, whichever fleet file they are from."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._rollout = RolloutScript(client, keys)

    def names(self) -> tuple[str, ...]:
        """The names of all, sorted."""
        return tuple(sorted(cast("set[str]", self._client.smembers(self._keys.schedules()))))

    def find(self, name: str) -> ScheduleRecord:
        """The schedule of that name.

        Raises:
            NotFoundError: there is none.
        """
        if found := self.get(name):
            return found
        raise NotFoundError(f"schedule {name!r}", "`stepmark schedule list` lists them")

    def get(self, name: str) -> ScheduleRecord | None:
        """The same; None: there is none."""
        return next(iter(self._read([name])), None)

    def all(self) -> tuple[ScheduleRecord, ...]:
        """All of them, by name."""
        return self._read(self.names())

    def specs(self, name: str) -> tuple[EnvironmentSpec, ...]:
        """What was declared of the environments that it selects, when it was applied."""
        content = cast("str | None", self._client.hget(self._keys.schedule(name), "specs"))
        return _SPECS.validate_json(content or "[]")

    def last_firings(self) -> tuple[Firing, ...]:
        """The last firing of each schedule that was ever fired, by name."""
        pipe = self._client.pipeline()
        for name in self.names():
            pipe.lindex(self._keys.schedule_firings(name), 0)
        return tuple(Firing.model_validate_json(each) for each in pipe.execute() if each)

    def firings(self, name: str) -> tuple[Firing, ...]:
        """The last firings of a schedule, the newest first."""
        kept = cast("list[str]", self._client.lrange(self._keys.schedule_firings(name), 0, -1))
        return tuple(map(Firing.model_validate_json, kept))

    def changes(
        self,
        record: ScheduleRecord,
        schedule: Schedule,
        specs: tuple[EnvironmentSpec, ...],
        policy: Policy = _DEFAULT,
    ) -> Changes:
        """What `apply` would change."""
        kept = {spec.name: spec for spec in self.specs(schedule.name)}
        names = {spec.name for spec in specs}
        fields = (*_differences(record.schedule, schedule), *_differences(record.policy, policy, ROLLOUT))
        declared = [f"{'~' if spec.name in kept else '+'} {spec.name}" for spec in specs if kept.get(spec.name) != spec]
        return Changes(fields, (*declared, *(f"- {name}" for name in kept if name not in names)))

    def apply(
        self, schedule: Schedule, specs: tuple[EnvironmentSpec, ...], by: str, at: float, policy: Policy = _DEFAULT
    ) -> None:
        """Keep it in place of what there is by that name; a pause stays. Times before `at` are no missed ones."""
        name, keys = schedule.name, self._keys
        before = self.get(name)
        since = before.since if before and before.schedule.every == schedule.every else float(int(at))
        timetable = schedule.timetable(since)
        same = before is not None and before.timetable == timetable
        fields = {
            "schedule": schedule.model_dump_json(),
            "environments": json.dumps([spec.name for spec in specs]),
            "specs": _SPECS.dump_json(specs).decode(),
            "policy": policy.model_dump_json(),
            "since": since,
            "applied_at": at,
            "applied_by": by,
        }
        pipe = self._client.pipeline()
        pipe.sadd(keys.schedules(), name)
        pipe.hset(keys.schedule(name), mapping=cast("dict[Any, Any]", fields))
        pipe.hset(keys.beat_entry(name), "definition", _definition(timetable, enabled=not (before and before.paused)))
        if not same:
            pipe.hset(keys.beat_entry(name), "meta", meta(at))
        if not (before and before.paused):
            pipe.zadd(keys.beat_due(), {keys.beat_entry(name): timetable.due_at(timetable.after(at))}, nx=same)
        pipe.execute()

    def stand(self, at: float) -> None:
        """Apply the standing schedules that are not there."""
        known = self.names()
        for schedule in STANDING:
            if schedule.name not in known:
                self.apply(schedule, (), "stepmark", at)

    def pause(self, record: ScheduleRecord, pause: Pause) -> None:
        """Have beat fire it no more."""
        name, keys = record.schedule.name, self._keys
        pipe = self._client.pipeline()
        pipe.hset(keys.schedule(name), "paused", pause.model_dump_json())
        pipe.hset(keys.beat_entry(name), "definition", _definition(record.timetable, enabled=False))
        pipe.zrem(keys.beat_due(), keys.beat_entry(name))
        pipe.execute()

    def unpause(self, record: ScheduleRecord, at: float) -> None:
        """Have beat fire it again, from its next time on; those that have passed are no missed ones."""
        name, keys, timetable = record.schedule.name, self._keys, record.timetable
        pipe = self._client.pipeline()
        pipe.hdel(keys.schedule(name), "paused")
        pipe.hset(keys.beat_entry(name), mapping={"definition": _definition(timetable, enabled=True), "meta": meta(at)})
        pipe.zadd(keys.beat_due(), {keys.beat_entry(name): timetable.due_at(timetable.after(at))})
        pipe.execute()

    def remove(self, name: str) -> None:
        """Forget it, and its firings that nobody has dealt with; rollouts that it has begun go on."""
        keys = self._keys

        def forget(pipe: Any) -> None:
            content = cast("dict[str, str]", pipe.hgetall(keys.schedule(name)))
            noted = cast("list[str]", pipe.zrange(keys.firings(), 0, -1))
            for field, rollout in content.items():
                if field.startswith(BEGUN):  # what was written down and not let go: else nobody would know it any more
                    self._rollout.say(rollout, "drop", who="stepmark", why="the schedule was removed")
            pipe.multi()
            pipe.srem(keys.schedules(), name)
            pipe.delete(keys.schedule(name), keys.schedule_firings(name), keys.beat_entry(name))
            pipe.zrem(keys.beat_due(), keys.beat_entry(name))
            if mine := [member for member in noted if Due.parse(member).schedule == name]:
                pipe.zrem(keys.firings(), *mine)

        self._client.transaction(forget, keys.schedule(name))

    def beat(self) -> str | None:
        """`MACHINE/PID` of the beat that fires them now; None: there is none."""
        holder = cast("str | None", self._client.get(self._keys.beat_lock()))
        return holder.split()[0] if holder else None

    def _read(self, names: Sequence[str]) -> tuple[ScheduleRecord, ...]:
        pipe = self._client.pipeline()
        for name in names:
            pipe.hmget(self._keys.schedule(name), _FIELDS)
            pipe.zscore(self._keys.beat_due(), self._keys.beat_entry(name))
        answers = iter(pipe.execute())
        return tuple(
            _record(name, values, at) for name, values, at in zip(names, answers, answers, strict=True) if values[0]
        )


def meta(last: float) -> str:
    """RedBeat's meta of an entry whose times until `last` have been fired, or do not count.

    By hand: RedBeat takes as long to import as a command may take in all.
    """
    moment = datetime.fromtimestamp(last, UTC)
    parts = {name: getattr(moment, name) for name in _PARTS}
    return json.dumps({"last_run_at": {"__type__": "datetime", **parts, "timezone": "UTC"}})


def _definition(timetable: Timetable, *, enabled: bool) -> str:
    """RedBeat's definition of an entry; its `schedule` is read by `workers.beat`."""
    entry = {"name": timetable.name, "task": FIRE, "schedule": timetable.model_dump(), "enabled": enabled}
    return json.dumps({**entry, "args": [], "kwargs": {}, "options": {}})


def _record(name: str, values: Sequence[str | None], next_at: float | None) -> ScheduleRecord:
    found = {field: value for field, value in zip(_FIELDS, values, strict=True) if value is not None}
    parsed = {field: json.loads(found[field]) for field in _JSON if field in found}
    try:
        return ScheduleRecord.model_validate_json(json.dumps({**found, **parsed, "next_at": next_at}))
    except ValidationError as error:
        advice = "use the version that did, or a later one; or apply it again"
        raise RefusedError(f"schedule {name} was applied by another version of stepmark", advice) from error


def _differences(old: Model, new: Model, prefix: str = "") -> Iterator[Change]:
    """What was written otherwise; but for what is selected."""
    before, after = (each.model_dump(mode="json", exclude={"select"}) for each in (old, new))
    for name, value in before.items():
        if value != after[name]:
            yield Change(prefix + name, value, after[name])
