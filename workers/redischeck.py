"""Redis, as doctor looks at it: its version, who we are to it, and what is kept when something dies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import redis

from config import endpoint
from config.settings import Settings
from workers import connection, permissions
from workers.checks import Check, Verdict
from workers.permissions import Role

_OLDEST = (6, 2)
_PAGE = "docs/how-to/secure-redis.md"


def examine(settings: Settings) -> Iterator[Check]:
    """All checks of Redis; the first one alone if it does not answer."""
    client = connection.connect(settings)
    if settings.redis_sentinels:
        yield _sentinels(settings)
    try:
        yield _user(client, settings)
        info = client.info()
        yield _version(str(info["redis_version"]))
    except redis.exceptions.NoPermissionError:
        return
    except redis.RedisError as error:
        advice = "set STEPMARK_REDIS_URL, or start one: Debian package redis-server"
        yield Check("redis", Verdict.MISSING, f"it does not answer: {error}", advice)
        return
    yield _persistence(client, info)
    yield _replicas(client, info)
    yield _eviction(client, info)


def _version(version: str) -> Check:
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= _OLDEST
    return Check("redis", Verdict.OK if new_enough else Verdict.MISSING, version, "" if new_enough else "6.2 or later")


def _sentinels(settings: Settings) -> Check:
    at, name = endpoint.of(settings), "redis sentinels"
    known, silent = [], []
    for host, port in at.sentinels:
        try:
            with redis.Redis(host=host, port=port, decode_responses=True, **at.sentinel) as sentinel:
                known += [f"{host}:{port}"] if at.master in sentinel.sentinel_masters() else []
        except redis.RedisError as error:
            silent.append(f"{host}:{port} ({error})")
    found = f"{len(known)} of {len(at.sentinels)} know {at.master}"
    if not known:
        advice = "the host in STEPMARK_REDIS_URL is the name in the Sentinels' `sentinel monitor`"
        return Check(name, Verdict.MISSING, "; ".join([found, *silent]), advice)
    if silent:
        return Check(name, Verdict.LIMITED, f"{found}; silent: {', '.join(silent)}")
    return Check(name, Verdict.OK, found)


def _user(client: redis.Redis, settings: Settings) -> Check:
    """What the user may be, and what it lacks to be more."""
    name = endpoint.of(settings).login.get("username", "default")
    missing = {role: permissions.lacking(client, permissions.rules(settings, role)) for role in Role}
    may = [role for role in Role if not missing[role]]
    if Role.WORKER in may or Role.OPERATOR in may:
        return Check("redis user", Verdict.OK, f"{name} may be {' and '.join(may)}")
    if may:
        advice = f"an operator needs also {' '.join(missing[Role.OPERATOR])}: {_PAGE}"
        return Check("redis user", Verdict.LIMITED, f"{name} may only look", advice)
    nearest = min(Role, key=lambda role: len(missing[role]))
    advice = f"a {nearest} needs also {' '.join(missing[nearest])}: {_PAGE}"
    return Check("redis user", Verdict.MISSING, f"{name} may be neither worker nor operator, nor look", advice)


def _persistence(client: redis.Redis, info: Mapping[str, Any]) -> Check:
    if not info.get("aof_enabled"):
        return _without_aof(_setting(client, "save"))
    policy = _setting(client, "appendfsync")
    kept = {
        "always": "no answered write is lost",
        "everysec": "a power cut may lose the last second; runs are fenced against it",
        "no": "a power cut may lose what the system had not written yet; runs are fenced against it",
    }
    return Check("redis persistence", Verdict.OK, f"append-only file, appendfsync {policy}", kept.get(policy, ""))


def _without_aof(save: str) -> Check:
    found, lost = f"no append-only file; snapshots: save {save}", "all runs since its last snapshot are"
    if not save:
        found, lost = "no append-only file, no snapshots", "everything is"
    return Check("redis persistence", Verdict.LIMITED, found, f"if Redis ends, {lost} forgotten: set `appendonly yes`")


def _replicas(client: redis.Redis, info: Mapping[str, Any]) -> Check:
    name, count = "redis replicas", int(info.get("connected_slaves", 0))
    if info.get("role") != "master":
        advice = "name its master in STEPMARK_REDIS_URL, or the Sentinels that know it"
        return Check(name, Verdict.MISSING, "this Redis is a replica itself: it takes no writes", advice)
    if not count:
        return Check(name, Verdict.OK, "none", "should this Redis be lost for good, a backup is what there is")
    wanted = _setting(client, "min-replicas-to-write")
    found = f"{count}, min-replicas-to-write {wanted}"
    if wanted != "0":
        return Check(name, Verdict.OK, found, "a fail-over may lose what none of them had been told yet")
    advice = "a master that is cut off goes on, and what it took is lost: set `min-replicas-to-write 1`"
    return Check(name, Verdict.LIMITED, found, advice)


def _eviction(client: redis.Redis, info: Mapping[str, Any]) -> Check:
    policy = str(info.get("maxmemory_policy") or _setting(client, "maxmemory-policy"))
    if policy == "noeviction":
        return Check(
            "redis eviction", Verdict.OK, "noeviction: when memory is full, writes are refused, nothing is lost"
        )
    return Check("redis eviction", Verdict.LIMITED, policy, "records may vanish: set `maxmemory-policy noeviction`")


def _setting(client: redis.Redis, name: str) -> str:
    try:
        return str(cast("dict[str, str]", client.config_get(name)).get(name, "unknown"))
    except redis.RedisError:
        return "unknown (this user may not ask)"
