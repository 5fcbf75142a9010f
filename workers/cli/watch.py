"""Watch: follows runs by the news of all runs, until none of them goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import cast

import redis

from tasks.failure import RunStatus
from workers.cli import outlook
from workers.records import RunRecord
from workers.runtime import Base

News = Mapping[str, str]
"""One entry of the stream `events`: event, at, run, environment, workflow, index, total, step …"""

_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
_READ_AGAIN_SECONDS = 2.0
_BLOCK_SECONDS = 0.5
_SILENCE_SECONDS = 60.0


def position(base: Base) -> str:
    """The place in the news behind which everything is still to come."""
    newest = cast("list[tuple[str, dict[str, str]]]", base.client.xrevrange(base.keys.events(), count=1))
    return newest[0][0] if newest else "0-0"


class Watch:
    """The runs of some environments, one each: when a run hands over to its next one, that one is followed.

    records: by environment, as last read. gone: runs that Redis has forgotten. outlook: as last read.
    silent_since: on the monotonic clock; when Redis stopped to answer.
    """

    def __init__(self, base: Base, runs: Iterable[str], after: str) -> None:
        self.records: dict[str, RunRecord] = {}
        self.gone: set[str] = set()
        self.silent_since: float | None = None
        self._base = base
        self._after = after
        self._read_at = 0.0
        self.outlook = outlook.read(base)
        self._read(runs)

    @property
    def over(self) -> bool:
        """Whether none of the runs goes on, as far as Redis still knows them."""
        return all(self.ended(record) or record.run in self.gone for record in self.records.values())

    @property
    def waiting_seconds(self) -> float:
        """For how long all runs that go on have waited for a worker; 0 if one of them has a worker."""
        going = [record for record in self.records.values() if not self.ended(record)]
        if not going or any(record.status is not RunStatus.QUEUED for record in going):
            return 0.0
        return min(record.read_at - (record.due_at or record.read_at) for record in going)

    def ended(self, record: RunRecord) -> bool:
        """Whether it has ended, or was lost for so long that it may be resumed."""
        if record.display is RunStatus.LOST and record.lease_until is not None:
            settings = self._base.settings
            return record.read_at > record.free_at(settings.takeover_seconds) + 2 * settings.lease_seconds
        return record.status in _ENDED

    def poll(self) -> list[News]:
        """What happened to the runs since; waits a moment if it was nothing. `records` are read again as needed.

        Raises:
            redis.RedisError: Redis has not answered for a minute, or refuses.
        """
        try:
            return self._poll()
        except (redis.ConnectionError, redis.TimeoutError):
            self.silent_since = self.silent_since or time.monotonic()
            if time.monotonic() - self.silent_since > _SILENCE_SECONDS:
                raise
            time.sleep(_BLOCK_SECONDS)
            return []

    def _poll(self) -> list[News]:
        answer = self._base.client.xread({self._base.keys.events(): self._after}, block=int(_BLOCK_SECONDS * 1000))
        self.silent_since = None
        entries = [entry for _, stream in cast("list[tuple[str, list[tuple[str, News]]]]", answer) for entry in stream]
        if entries:
            self._after = entries[-1][0]
        known = {record.run for record in self.records.values()} | {record.next for record in self.records.values()}
        news = [fields for _, fields in entries if fields["run"] in known]
        changed = {fields["run"] for fields in news}
        if time.monotonic() - self._read_at > _READ_AGAIN_SECONDS:
            self._read_at = time.monotonic()
            self.outlook = outlook.read(self._base)
            changed |= {record.run for record in self.records.values() if not self.ended(record)}
        self._read(changed)
        return news

    def _read(self, runs: Iterable[str]) -> None:
        wanted = set(runs)
        found = self._base.store.runs(wanted)
        self.gone |= wanted - found.keys()
        for record in found.values():
            self.records[record.environment] = record
        following = [
            record.next for record in self.records.values() if record.next and record.status is RunStatus.SUCCEEDED
        ]
        for record in self._base.store.runs(following).values():
            self.records[record.environment] = record
