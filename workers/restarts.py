"""Restarts of Redis: while it was away nobody could renew a lease, so for one lease's length nobody is taken over."""

from __future__ import annotations

from typing import cast

from workers.runtime import Base


def quiet_seconds(base: Base) -> float:
    """For how long nothing may be taken over yet: Redis has come back, or another one has taken its place. 0: it may.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    key = base.keys.server()
    now = base.now()
    current = cast("dict[str, str]", base.client.info("server"))["run_id"]
    known, since = base.client.hmget(key, "run_id", "since")
    if known != current:
        base.client.hset(key, mapping={"run_id": current, "since": now})
        since = str(now)
    return max(0.0, float(cast("str", since)) + base.settings.lease_seconds - now)
