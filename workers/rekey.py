"""Rekeyer: encrypts all that is kept anew, under the first key of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import redis

from workers.connection import Script
from workers.crypto import Box, SealError
from workers.keys import Keys


class Place(NamedTuple):
    """Where something encrypted is: a hash and its field. inside: it is `state` of the JSON there."""

    key: str
    field: str
    inside: bool


@dataclass(frozen=True)
class Rekeyed:
    """What became of it. found: how much there is; resealed: what was under older keys; lost: what no key opens."""

    found: int
    resealed: int
    lost: tuple[str, ...]


class Rekeyer:
    """May be interrupted and run again, and runs beside workers: what they write meanwhile is never written over."""

    def __init__(self, client: redis.Redis, keys: Keys, box: Box) -> None:
        self._client = client
        self._keys = keys
        self._box = box
        self._swap = Script(client, "swap")

    def perform(self, say: Callable[[int, int], None]) -> Rekeyed:
        """Go through all of it once. say: is told how many are done, of how many.

        Raises:
            redis.RedisError: Redis does not answer; what was done is done.
        """
        places = list(self._places())
        resealed, lost = 0, list[str]()
        for done, place in enumerate(places, 1):
            try:
                resealed += self._reseal(place)
            except SealError:
                lost.append(f"{place.key} {place.field}")
            say(done, len(places))
        return Rekeyed(len(places), resealed, tuple(lost))

    def _reseal(self, place: Place) -> bool:
        """Whether it was under an older key."""
        while (kept := cast("str | None", self._client.hget(place.key, place.field))) is not None:
            sealed = json.loads(kept)["state"] if place.inside else kept
            renewed = self._box.renewed(sealed, place.key)
            if renewed is None:
                return False
            now = json.dumps({**json.loads(kept), "state": renewed}) if place.inside else renewed
            if self._swap([place.key], place.field, kept, now)[0] == "ok":
                return True
        return False

    def _places(self) -> Iterator[Place]:
        for key in sorted(self._scan(self._keys.workspace("*"))):
            yield Place(key, "archive", inside=False)
        for key in sorted(self._scan(self._keys.tofu_state("*"))):
            # An environment's name has no colon.
            match key.removeprefix(self._keys.tofu_state("")).partition(":")[2]:
                case "":
                    yield Place(key, "state", inside=False)
                case "orphans" | "settled":
                    fields = cast("list[str]", self._client.hkeys(key))
                    yield from (Place(key, field, inside=True) for field in sorted(fields))

    def _scan(self, pattern: str) -> set[str]:
        return set(self._client.scan_iter(match=pattern, count=1000))
