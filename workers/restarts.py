"""Restarts of Redis: while it was away nobody could renew a lease, so for one lease's length nobody is taken over."""

from __future__ import annotations

from typing import cast

from workers.runtime import Base


def quiet_seconds(base: Base) -> float:
    """For how long nothing may be taken over yet: Redis has come back, or another one has taken its place. 0: it may.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    now = base.now()
    current = cast("dict[str, str]", base.client.info("server"))["run_id"]
    known, since = base.client.hmget(base.keys.server(), "run_id", "since")
    if known != current:
        _begin(base, current, now)
        return base.settings.lease_seconds
    return max(0.0, float(cast("str", since)) + base.settings.lease_seconds - now)


def look(base: Base) -> float:
    """As `quiet_seconds`, by the reaper, who looks all the time: a gap in that, or a clock that jumped, counts too.

    Raises:
        redis.RedisError: Redis does not answer, or does not take it.
    """
    now = base.now()
    seen = cast("str | None", base.client.hget(base.keys.server(), "seen"))
    base.client.hset(base.keys.server(), "seen", now)
    if seen is not None and not -1 <= now - float(seen) <= base.settings.lease_seconds:
        _begin(base, cast("dict[str, str]", base.client.info("server"))["run_id"], now)
    return quiet_seconds(base)


def _begin(base: Base, run_id: str, at: float) -> None:
    base.client.hset(base.keys.server(), mapping={"run_id": run_id, "since": at})
