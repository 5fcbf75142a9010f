"""The connection to Redis, and the scripts that are called over it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from config import endpoint
from config.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

_INSIST_PAUSE_SECONDS = 1.0
# What a script is told by a Redis that is full, a replica, or shows us no key: it may be otherwise later.
_REFUSALS = ("OOM", "READONLY", "NOPERM", "permission", "can't run this command", "MISCONF", "NOREPLICAS")
_RETRIES = 3
_PATIENT_RETRIES = 15
_SOCKET_SECONDS = 10.0
_HURRIED_RETRIES = 1
_HURRIED_SOCKET_SECONDS = 2.0
# It restarts, is full, or fails over: it may take it a moment later.
_PASSING = (redis.BusyLoadingError, redis.OutOfMemoryError, redis.ReadOnlyError)


def connect(settings: Settings, *, patient: bool = False, hurried: bool = False) -> redis.Redis:
    """A client of the Redis of the settings; it connects at the first command and asks again when a reply is lost.

    patient: asks again for about a lease's length, also when Redis refuses to write; for workers, whose work would be
    lost. hurried: asks once more and waits for moments only; for what is said again soon anyway. Else for about a
    second: an operator waits.
    """
    retries = _PATIENT_RETRIES if patient else _RETRIES
    seconds = _SOCKET_SECONDS
    if hurried:
        retries, seconds = _HURRIED_RETRIES, _HURRIED_SOCKET_SECONDS
    return client(
        settings,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), retries),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError, *(_PASSING if patient else ())],
        max_connections=10_000,  # a thread pool of 1,000 asks for as many at once
        health_check_interval=30,
    )


def client(settings: Settings, **options: Any) -> redis.Redis:
    """A client with redis-py's `options`. Behind Sentinels, each new connection asks them where the master is now."""
    at = endpoint.of(settings)
    if not at.sentinels:
        return redis.Redis.from_url(at.url, decode_responses=True, **at.tls, **options)
    options |= {"db": at.database, "ssl": bool(at.tls), **at.login, **at.tls}
    sentinels = Sentinel(at.sentinels, sentinel_kwargs=dict(at.sentinel))  # type: ignore[no-untyped-call]
    found: redis.Redis = sentinels.master_for(at.master, decode_responses=True, **options)  # type: ignore[no-untyped-call]
    return found


def insist(call: Callable[[], T], seconds: float) -> T:
    """The answer of `call`, asked for again and again for `seconds` while Redis does not take it.

    For what has been done already and must be recorded: later is better than never.

    Raises:
        redis.RedisError: Redis did not take it in all that time.
    """
    last = time.monotonic() + seconds
    while True:
        try:
            return call()
        except redis.RedisError as error:
            if time.monotonic() >= last or _ours(error):
                raise
            logger.warning("Not recorded yet, Redis does not take it: %s", error)
            time.sleep(_INSIST_PAUSE_SECONDS)


def _ours(error: redis.RedisError) -> bool:
    """Whether a script of ours is wrong: no time mends that."""
    text = str(error)
    return isinstance(error, redis.ResponseError) and "user_script" in text and not any(map(text.count, _REFUSALS))


def nonce() -> str:
    """What makes one call of a script known when it is asked again."""
    return secrets.token_hex(8)


class Script:
    """One Lua script of ours, called by its digest. shows: it changes what the overview says of an environment."""

    def __init__(self, client: redis.Redis, name: str, *, moves_runs: bool = False, shows: bool = False) -> None:
        self.name = name
        preludes = ("row", "common") if moves_runs else ("row",) if shows else ()
        self._script = client.register_script("".join(map(_part, (*preludes, name))))

    def __call__(self, keys: Sequence[str], *args: object) -> Any:
        """The script's answer. Arguments are texts and numbers.

        Raises:
            redis.RedisError: Redis could not be reached, or refused to write.
        """
        return self._script(keys=list(keys), args=[*map(str, args)])


@cache
def _part(name: str) -> str:
    return (files("workers") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
