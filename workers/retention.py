"""Retention: what Redis does not forget by itself. It goes by the indexes, and never over all keys.

Runs, logs and traces have a lifetime of their own; `docs/reference/redis.md` names the bound of every key.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

from celery import Task, shared_task

from workers import jobs, runtime
from workers.connection import Script
from workers.runtime import Base

logger = logging.getLogger(__name__)

TASK = "stepmark.retention"


@dataclass(frozen=True)
class Dropped:
    """How much was dropped. runs, checks, traces: from histories, their records being past their lifetime.

    gone: environments that were forgotten or renamed before.
    """

    runs: int = 0
    checks: int = 0
    traces: int = 0
    gone: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        """Both together."""
        sums = (mine + its for mine, its in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True))
        return Dropped(*sums)


class Retention:
    """Each environment is looked at in a few short scripts: nobody has to wait for the whole."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._prune, self._outdate = (Script(base.client, name) for name in ("prune", "outdate"))

    def perform(self, *, dry: bool = False) -> Dropped:
        """Drop what is past its lifetime. dry: only count it.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        how = "count" if dry else "drop"
        keys = self._base.keys
        total = Dropped(gone=int(self._outdate([keys.gone()], "at", self._base.retention_seconds, how)))
        for name in sorted(map(str, self._base.client.smembers(keys.environments()))):
            total += self._of(name, how)
        return total

    def _of(self, name: str, how: str) -> Dropped:
        keys = self._base.keys
        runs, checks = (int(self._prune([key], keys.run("*"), how)) for key in (keys.runs(name), keys.checks(name)))
        return Dropped(runs, checks, int(self._prune([keys.traces(name)], keys.trace("*"), how)))


@shared_task(name=TASK, bind=True)
def perform(task: Task) -> None:
    """Drop what is past its lifetime; beat fires it once a day."""
    base = runtime.base_of_process()
    if not jobs.take(base, str(task.request.id)):
        logger.info("Retention: that was done before")
        return
    found = Retention(base).perform()
    logger.info("Retention: dropped %s", found)
