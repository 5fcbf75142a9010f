"""Jobs: what a schedule has done beside workflows. A firing may send one twice, under the same id."""

from __future__ import annotations

from workers import verbs
from workers.firingrecord import Due
from workers.runtime import Base

# Whoever dies after sending it, another one sends it again when the firing is dealt with anew: soon, or within
# `missed_limit`.
_TAKEN_SECONDS = 7 * 86400


def task_id(due: Due) -> str:
    """The id of the Celery task that a firing sends."""
    return f"{due.schedule}:{due.mark}"


def take(base: Base, job: str) -> bool:
    """Whether the task of that id is to be done: nobody has taken it before.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    return bool(base.client.set(base.keys.job(job), verbs.whoami(), nx=True, ex=_TAKEN_SECONDS))
