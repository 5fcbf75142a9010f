"""RolloutWatch: follows a rollout by the news of all runs, until nothing of it goes on."""

from __future__ import annotations

import time
from typing import cast

import redis

from workers.cli import outlook
from workers.cli.watch import News
from workers.records import RunRecord
from workers.rolloutrecord import RolloutRecord, RolloutStatus
from workers.rolloutstore import RolloutStore
from workers.runtime import Base

_READ_AGAIN_SECONDS = 1.0
_BLOCK_SECONDS = 0.5
_SILENCE_SECONDS = 60.0
_MOST_NEWS = 1000
# As many runs as a tall terminal shows.
_MOST_RUNS = 60


class RolloutWatch:
    """A rollout and those of its runs that go on, as last read at `at`. after: where in the news it begins.

    silent_since: on the monotonic clock; when Redis stopped to answer.
    """

    def __init__(self, base: Base, rollout: str, after: str) -> None:
        self.silent_since: float | None = None
        self.record: RolloutRecord
        self.runs: tuple[RunRecord, ...] = ()
        self.outlook = outlook.read(base)
        self._base = base
        self._store = RolloutStore(base.client, base.keys)
        self._rollout = rollout
        self._after = after
        self._read()

    @property
    def over(self) -> bool:
        """Whether it has ended, or is paused and its last run has ended."""
        return self.record.over or (self.record.status is RolloutStatus.PAUSED and self.record.live == 0)

    def poll(self, seconds: float = _BLOCK_SECONDS) -> list[News]:
        """What happened to its runs since; waits so long if it was nothing.

        Raises:
            redis.RedisError: Redis has not answered for a minute, or refuses.
        """
        try:
            return self._poll(seconds)
        except (redis.ConnectionError, redis.TimeoutError):
            self.silent_since = self.silent_since or time.monotonic()
            if time.monotonic() - self.silent_since > _SILENCE_SECONDS:
                raise
            time.sleep(_BLOCK_SECONDS)
            return []

    def _poll(self, seconds: float) -> list[News]:
        block = int(seconds * 1000) or None
        answer = self._base.client.xread({self._base.keys.events(): self._after}, count=_MOST_NEWS, block=block)
        self.silent_since = None
        entries = [entry for _, stream in cast("list[tuple[str, list[tuple[str, News]]]]", answer) for entry in stream]
        if entries:
            self._after = entries[-1][0]
        if time.monotonic() - self._read_at > (_READ_AGAIN_SECONDS if entries else _BLOCK_SECONDS):
            self._read()
        return [fields for _, fields in entries if fields.get("rollout") == self._rollout]

    def _read(self) -> None:
        self._read_at = time.monotonic()
        self.record = self._store.rollout(self._rollout)
        self.outlook, self.at = outlook.read(self._base), self._base.now()
        self.runs = live_runs(self._base, self._store, self._rollout)


def live_runs(base: Base, store: RolloutStore, rollout: str, most: int = _MOST_RUNS) -> tuple[RunRecord, ...]:
    """The runs of a rollout that go on, at most `most`; of two that follow one another, the present one."""
    first = base.store.runs(list(store.slots(rollout).values())[:most])
    following = base.store.runs(run.next for run in first.values() if run.next and not run.live)
    return tuple(following.get(run.next or "", run) for run in first.values())
