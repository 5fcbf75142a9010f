"""RolloutWatch: follows a rollout by the news of all runs, until nothing of it goes on."""

from __future__ import annotations

import time

from workers.cli import outlook
from workers.cli.news import BLOCK_SECONDS, Feed, News
from workers.records import RunRecord
from workers.rolloutrecord import RolloutRecord, RolloutStatus
from workers.rolloutstore import RolloutStore
from workers.runtime import Base

_READ_AGAIN_SECONDS = 1.0
# As many runs as a tall terminal shows.
_MOST_RUNS = 60


class RolloutWatch:
    """A rollout and those of its runs that go on, as last read at `at`. after: where in the news it begins."""

    def __init__(self, base: Base, rollout: str, after: str) -> None:
        self.feed = Feed(base, after)
        self.record: RolloutRecord
        self.runs: tuple[RunRecord, ...] = ()
        self.outlook = outlook.read(base)
        self._base = base
        self._store = RolloutStore(base.client, base.keys)
        self._rollout = rollout
        self._read()

    @property
    def over(self) -> bool:
        """Whether it has ended, or is paused and its last run has ended."""
        return self.record.over or (self.record.status is RolloutStatus.PAUSED and self.record.live == 0)

    def poll(self, seconds: float = BLOCK_SECONDS) -> list[News]:
        """What happened to its runs since; waits so long if it was nothing.

        Raises:
            redis.RedisError: Redis has not answered for a minute, or refuses.
        """
        return self.feed.patiently(lambda: self._poll(seconds), [])

    def _poll(self, seconds: float) -> list[News]:
        news = self.feed.read(seconds)
        if time.monotonic() - self._read_at > (_READ_AGAIN_SECONDS if news else BLOCK_SECONDS):
            self._read()
        return [fields for fields in news if fields.get("rollout") == self._rollout]

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
