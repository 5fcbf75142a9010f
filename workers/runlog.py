"""RunLog: what the programs of a step print, kept in Redis so that any machine can read it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, cast

import redis

from workers.keys import Keys

logger = logging.getLogger(__name__)

_LINES_A_CHUNK = 50
_SECONDS_A_CHUNK = 0.5
_CHUNKS_A_RUN = 4_000


class Line(NamedTuple):
    """One entry of a log: the place in the stream, the step and attempt that printed it, and its lines."""

    id: str
    step: str
    attempt: int
    text: str


class RunLog:
    """Collects lines of one execution and sends them in chunks. A log that cannot be kept hides no other error."""

    def __init__(self, client: redis.Redis, key: str, step: str, attempt: int, retention_seconds: int) -> None:
        self._client = client
        self._key = key
        self._step = step
        self._attempt = attempt
        self._retention_seconds = retention_seconds
        self._lines: list[str] = []
        self._sent_at = time.monotonic()
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Add one line, already redacted."""
        with self._lock:
            self._lines.append(line)
            late = time.monotonic() - self._sent_at > _SECONDS_A_CHUNK
        if late or len(self._lines) >= _LINES_A_CHUNK:
            self.flush()

    def flush(self) -> None:
        """Send what has been collected."""
        with self._lock:
            lines, self._lines = self._lines, []
            self._sent_at = time.monotonic()
            if lines:
                self._send(_text(lines))

    def take(self) -> str:
        """What has been collected and not been sent: for whoever sends it along with something else."""
        with self._lock:
            lines, self._lines = self._lines, []
        return _text(lines)

    def _send(self, text: str) -> None:
        try:
            pipe = self._client.pipeline(transaction=False)
            entry = {"step": self._step, "attempt": self._attempt, "text": text}
            pipe.xadd(self._key, entry, maxlen=_CHUNKS_A_RUN, approximate=True)  # type: ignore[arg-type]  # invariant dict
            pipe.expire(self._key, self._retention_seconds)
            pipe.execute()
        except redis.RedisError as error:
            logger.warning("Log lines were not kept: %s", error)


def _text(lines: list[str]) -> str:
    return "\n".join(lines).encode("utf-8", "replace").decode()


def read(client: redis.Redis, keys: Keys, run: str, *, after: str = "0") -> Iterator[Line]:
    """The log of a run after the place `after`, oldest first."""
    start = "-" if after == "0" else f"({after}"
    entries = cast("list[tuple[str, dict[str, str]]]", client.xrange(keys.log(run), start))
    for place, fields in entries:
        yield Line(place, fields["step"], int(fields["attempt"]), fields["text"])
