"""The news of all runs, as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import redis

from workers.runtime import Base

T = TypeVar("T")

News = Mapping[str, str]
"""One entry of the stream `events`: event, at, run, environment, workflow, index, total, step …"""

BLOCK_SECONDS = 0.5
_SILENCE_SECONDS = 60.0
# So much is read at once: what is shown does not wait for the rest.
_MOST = 1000


def position(base: Base) -> str:
    """The place in the news behind which everything is still to come."""
    newest = cast("list[tuple[str, dict[str, str]]]", base.client.xrevrange(base.keys.events(), count=1))
    return newest[0][0] if newest else "0-0"


class Feed:
    """The news from a place on. after: the last that was read.

    silent_since: on the monotonic clock; when Redis stopped to answer.
    """

    def __init__(self, base: Base, after: str) -> None:
        self.after = after
        self.silent_since: float | None = None
        self._base = base

    def read(self, seconds: float) -> list[News]:
        """What came since; waits so long if it was nothing."""
        # Without a pause it must not block: Redis ends that a tenth of a second late.
        block = int(seconds * 1000) or None
        answer = self._base.client.xread({self._base.keys.events(): self.after}, count=_MOST, block=block)
        self.silent_since = None
        entries = [entry for _, stream in cast("list[tuple[str, list[tuple[str, News]]]]", answer) for entry in stream]
        if entries:
            self.after = entries[-1][0]
        return [fields for _, fields in entries]

    def patiently(self, look: Callable[[], T], otherwise: T) -> T:
        """What `look` gives; or, after a pause, `otherwise`, where Redis does not answer.

        Raises:
            redis.RedisError: Redis has not answered for a minute, or refuses.
        """
        try:
            return look()
        except (redis.ConnectionError, redis.TimeoutError):
            self.silent_since = self.silent_since or time.monotonic()
            if time.monotonic() - self.silent_since > _SILENCE_SECONDS:
                raise
            time.sleep(BLOCK_SECONDS)
            return otherwise
