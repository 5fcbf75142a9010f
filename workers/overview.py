"""Overview: the whole fleet at a glance, in one round trip, from one row an environment."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter
from typing import Any, cast

import redis

from tasks.identity import SCHEMA
from workers import permissions
from workers.beats import SILENT_SECONDS
from workers.connection import Script
from workers.keys import Keys
from workers.overviewrow import Row, Sight, sight
from workers.refusals import other_schema

logger = logging.getLogger(__name__)

_PAGE = 500
_SCHEMA = str(SCHEMA)
_OURS = ("", _SCHEMA)
_MOST_NAMED = 5


_FIELDS = len(Row._fields) - 1


@dataclass(frozen=True)
class Overview:
    """A look at the fleet, or at the environments that were asked for. at: Unix seconds, by Redis.

    lapsed: executions whose lease has lapsed, and when. workers: how many live. paused: the pause that all is in, as
    JSON, or empty. firings: the last one of each schedule, as JSON. queues: of which a worker takes steps.
    """

    at: float
    rows: tuple[Row, ...]
    lapsed: Mapping[str, float]
    workers: int
    paused: str
    firings: tuple[str, ...]
    queues: frozenset[str]

    def sight(self, row: Row, told: str = "") -> Sight | None:
        """The run in a row; None: there is none, or another version keeps it in another way."""
        if not row.run or row.run_schema != _SCHEMA:
            return None
        return sight(row, self.at, self.lapsed, told)


class Overviews:
    """Reads the overview, and makes it right where it is not. Every method raises redis.RedisError."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._read, self._correct = Script(client, "overview"), Script(client, "correct", shows=True)

    def read(self, names: Sequence[str] = ()) -> Overview:
        """A look at these environments, or at all, by name. Those that are not there are left out."""
        count, found = self._look(names)
        if len(found.rows) != (len(set(names)) if names else count):
            self._correct_if_allowed(names or self._unseen(found))
            found = self._look(names)[1]
        foreign = {row for row in found.rows if row.schema not in _OURS}
        _tell(sorted(foreign))
        ours = (row for row in found.rows if row not in foreign) if foreign else found.rows
        return replace(found, rows=tuple(sorted(ours, key=itemgetter(0))))

    def around(self) -> Overview:
        """A look at what lies around all environments, and at none of them."""
        return self._look(("",))[1]

    def left_out(self, rollouts: Sequence[str]) -> dict[str, tuple[int, int]]:
        """How many environments these rollouts have left out, and of how many; those that are kept no more are not."""
        if not rollouts:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for rollout in rollouts:
            pipe.hmget(self._keys.rollout(rollout), ("left_out", "total"))
        pairs = zip(rollouts, cast("list[list[str | None]]", pipe.execute()), strict=True)
        return {rollout: (int(left_out or 0), int(total)) for rollout, (left_out, total) in pairs if total}

    def paused_rollouts(self) -> tuple[tuple[str, ...], ...]:
        """Of each rollout that somebody or something has paused: its id, what began it, by whom it is paused, why."""
        ids = sorted(cast("set[str]", self._client.smembers(self._keys.live_rollouts())))
        pipe = self._client.pipeline(transaction=False)
        for rollout in ids:
            pipe.hmget(self._keys.rollout(rollout), ("status", "trigger", "changed_by", "reason"))
        found = zip(ids, cast("list[list[str]]", pipe.execute()), strict=True)
        return tuple((rollout, *more) for rollout, (status, *more) in found if status == "paused" and more[1])

    def correct(self, names: Sequence[str]) -> int:
        """Make the rows of these environments agree with their records; how many did not."""
        wrong = 0
        for page in _pages(names):
            keys = (self._keys.overview(), self._keys.environments(), *map(self._keys.environment, page))
            wrong += self._correct(keys, *page)
        return wrong

    def declared(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """What was declared of environments when they were last launched, as JSON values."""
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hget(self._keys.environment(name), "spec")
        specs = cast("list[str | None]", pipe.execute())
        return {name: json.loads(spec) for name, spec in zip(names, specs, strict=True) if spec}

    def _correct_if_allowed(self, names: Sequence[str]) -> None:
        """Who may only look sees the rows as they are, until an operator looks or the reaper comes by."""
        try:
            self.correct(names)
        except redis.ResponseError as error:
            if not permissions.refused(error):
                raise

    def _unseen(self, found: Overview) -> tuple[str, ...]:
        """Environments without a row, and rows without an environment: an older version has been at work."""
        names = cast("set[str]", self._client.smembers(self._keys.environments()))
        return tuple(names ^ {row.environment for row in found.rows})

    def _look(self, names: Sequence[str]) -> tuple[int, Overview]:
        """How many environments there are, and what the overview says."""
        keys = self._keys
        places = (keys.overview(), keys.environments(), keys.leases(), keys.workers(), keys.paused(), keys.schedules())
        at, count, rows, good, lapsed, workers, paused, firings, served = self._read(places, SILENT_SECONDS, *names)
        leases = set(good.split("\n"))
        found = tuple(_row(name, text, leases) for name, text in _pairs(rows.split("\n")) if text)
        since = {execution: float(until) for execution, until in _pairs(lapsed.split("\n"))}
        queues = frozenset(queue for each in served for queue in json.loads(each))
        return count, Overview(float(at), found, since, workers, paused, tuple(firings), queues)


def _row(name: str, text: str, leases: set[str]) -> Row:
    fields = text.split("\t")
    if len(fields) != _FIELDS:  # another version has written it
        fields = [*fields, *[""] * _FIELDS][:_FIELDS]
    row = Row._make((name, *fields))
    return row._replace(status="lost") if row.status == "running" and row.execution not in leases else row


def _tell(foreign: Sequence[Row]) -> None:
    """Say which environments another version keeps in another way: they must not hide all the others."""
    for row in foreign[:_MOST_NAMED]:
        refusal = other_schema(f"environment {row.environment}", row.schema)
        logger.warning("%s; %s", refusal, refusal.advice)
    if len(foreign) > _MOST_NAMED:
        logger.warning("So are %d more environments", len(foreign) - _MOST_NAMED)


def _pairs(words: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(words[::2], words[1::2], strict=False)


def _pages(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    left = iter(names)
    while page := tuple(islice(left, _PAGE)):
        yield page
