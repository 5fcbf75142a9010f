"""RolloutStore: reads rollouts; decides nothing and changes none."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import cast

import redis

from tasks.identity import SCHEMA
from workers.keys import Keys
from workers.refusals import NotFoundError, other_schema
from workers.rolloutrecord import Outcome, RolloutRecord, rollout_record

News = Mapping[str, str]
"""One entry of a rollout's stream: event, at, and by, reason, wave, until or status."""


class RolloutStore:
    """What commands and workers read of rollouts. Every method raises redis.RedisError when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def rollout(self, rollout: str) -> RolloutRecord:
        """One rollout.

        Raises:
            NotFoundError: there is none, or it is past its retention.
            RefusedError: another version keeps it in another way.
        """
        content = cast("dict[str, str]", self._client.hgetall(self._keys.rollout(rollout)))
        if not content:
            raise NotFoundError(f"rollout {rollout!r}", "`stepmark rollout list` shows what there is")
        if content["schema"] != str(SCHEMA):
            raise other_schema(f"rollout {rollout}", content["schema"])
        return rollout_record(content)

    def rollouts(self, most: int = 100) -> tuple[RolloutRecord, ...]:
        """All that have not ended, then as many others as `most` leaves; the newest first, in our schema."""
        live = self.live()
        known = {record.rollout for record in live}
        ids = cast("list[str]", self._client.zrevrange(self._keys.rollouts(), 0, most - 1))
        others = self._read(rollout for rollout in ids if rollout not in known)
        return (*live, *others[: max(0, most - len(live))])

    def some(self, ids: Iterable[str]) -> Mapping[str, RolloutRecord]:
        """Those of these rollouts that are still kept, in our schema, by id."""
        return {record.rollout: record for record in self._read(ids)}

    def live(self) -> tuple[RolloutRecord, ...]:
        """The rollouts that have not ended, the newest first."""
        found = self._read(cast("set[str]", self._client.smembers(self._keys.live_rollouts())))
        return tuple(sorted(found, key=lambda record: record.created_at, reverse=True))

    def of_other_versions(self) -> tuple[str, ...]:
        """Those that have not ended, and that another version keeps in another way."""
        ids = sorted(cast("set[str]", self._client.smembers(self._keys.live_rollouts())))
        pipe = self._client.pipeline(transaction=False)
        for rollout in ids:
            pipe.hget(self._keys.rollout(rollout), "schema")
        schemas = zip(ids, cast("list[str | None]", pipe.execute()), strict=True)
        return tuple(rollout for rollout, schema in schemas if schema not in (None, str(SCHEMA)))

    def newest(self) -> str:
        """The id of the newest rollout that no schedule began, if one such is live; else of the newest of all.

        Raises:
            NotFoundError: there is none.
        """
        for record in self.live():
            if not record.scheduled:
                return record.rollout
        ids = cast("list[str]", self._client.zrevrange(self._keys.rollouts(), 0, 0))
        if not ids:
            raise NotFoundError("rollout yet", "`stepmark up` over several environments begins one")
        return ids[0]

    def slots(self, rollout: str) -> Mapping[str, str]:
        """The first run of each environment whose run goes on, by environment."""
        kept = cast("dict[str, str]", self._client.hgetall(self._keys.rollout_slots(rollout)))
        return {name: slot.split()[0] for name, slot in kept.items()}

    def pending(self, record: RolloutRecord) -> tuple[str, ...]:
        """The environments of a rollout that have not been started, in the order in which they are to start."""
        pipe = self._client.pipeline(transaction=False)
        for provider in record.providers:
            pipe.zrange(self._keys.rollout_pending(record.rollout, provider), 0, -1, withscores=True)
        found = cast("list[list[tuple[str, float]]]", pipe.execute())
        return tuple(name for name, _ in sorted(itertools.chain(*found), key=itemgetter(1)))

    def outcomes(self, rollout: str) -> Mapping[str, Outcome]:
        """What became of each environment that has ended or was left out, by its name."""
        kept = cast("dict[str, str]", self._client.hgetall(self._keys.rollout_outcomes(rollout)))
        return {name: Outcome.model_validate_json(kept[name]) for name in sorted(kept)}

    def events(self, rollout: str) -> tuple[News, ...]:
        """A rollout's history, oldest first."""
        entries = cast("list[tuple[str, dict[str, str]]]", self._client.xrange(self._keys.rollout_events(rollout)))
        return tuple(fields for _, fields in entries)

    def _read(self, ids: Iterable[str]) -> tuple[RolloutRecord, ...]:
        pipe = self._client.pipeline(transaction=False)
        for rollout in ids:
            pipe.hgetall(self._keys.rollout(rollout))
        found = cast("list[dict[str, str]]", pipe.execute())
        return tuple(rollout_record(content) for content in found if content and content["schema"] == str(SCHEMA))
