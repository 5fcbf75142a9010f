"""Restarts of Redis: nobody could renew a lease meanwhile, and it may have forgotten what had begun. So all waits."""

from __future__ import annotations

from typing import cast

from workers.runtime import Base

WHY = (
    "for a lease nobody has watched over the runs, or Redis came back just now: its worker has that long to be heard of"
)
"""Why nothing may be taken over yet."""


def quiet_seconds(base: Base) -> float:
    """For how long nothing may be taken over, tried again or sent again yet. 0: it may.

    Redis has come back, or another one has taken its place; or its clock jumped; or for a lease no reaper has looked.

    Raises:
        redis.RedisError: Redis does not answer, or does not take it.
    """
    now, settings = base.now(), base.settings
    since = _gap_at(base, now)
    return max(0.0, quiet_until(base) - now, since + settings.lease_seconds - now)


def quiet_until(base: Base) -> float:
    """What was due before this, in Unix seconds, goes on under a new epoch. Long ago, if Redis has never come back.

    Raises: as `quiet_seconds`.
    """
    server = base.keys.server()
    current = cast("dict[str, str]", base.client.info("server"))["run_id"]
    known, back_at = base.client.hmget(server, "run_id", "back_at")
    if known != current:  # as `came_back` in the scripts
        back_at = str(base.now()) if known else "0"
        base.client.hset(server, mapping={"run_id": current, "back_at": back_at})
    return float(cast("str | None", back_at) or 0) + base.settings.quiet_seconds


def look(base: Base) -> float:
    """As `quiet_seconds`, by the reaper, who looks all the time.

    Raises: as `quiet_seconds`.
    """
    quiet = quiet_seconds(base)
    base.client.hset(base.keys.server(), "seen", base.now())
    return quiet


def _gap_at(base: Base, now: float) -> float:
    """When the last gap between two looks was seen. A gap is seen once, however long no reaper looks."""
    server = base.keys.server()
    seen, since = (float(cast("str | None", value) or 0) for value in base.client.hmget(server, "seen", "since"))
    if now < seen - 1:  # the clock went back, perhaps with all that Redis knows
        base.client.hset(server, mapping={"seen": now, "since": now, "back_at": now})
        return now
    if seen and now - seen > base.settings.lease_seconds and since <= seen:
        base.client.hset(server, "since", now)
        return now
    return since
