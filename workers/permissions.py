"""Permissions: what a user of Redis must be allowed, by what it is for, and what of that the present one lacks.

Manual: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from config import endpoint
from config.settings import Settings


class Role(StrEnum):
    """What a user of Redis is for: workers and beat; operators and Flower; those who only look."""

    WORKER = "worker"
    OPERATOR = "operator"
    VIEWER = "viewer"


# Each command as an ACL names it, with arguments that it can be asked with: K is a key, C a channel.
_ALL: Mapping[str, str] = {
    "discard": "",
    "exec": "",
    "exists": "K",
    "get": "K",
    "hello": "3",
    "hget": "K f",
    "hgetall": "K",
    "hmget": "K f",
    "info": "",
    "lindex": "K 0",
    "llen": "K",
    "lrange": "K 0 1",
    "multi": "",
    "ping": "",
    "sismember": "K m",
    "smembers": "K",
    "time": "",
    "zrange": "K 0 1",
    "zrevrange": "K 0 1",
    "zscore": "K m",
}
# A script may do no more than whoever calls it: the overview is read by one.
_LOOKS: Mapping[str, str] = {
    "evalsha": "0000000000000000000000000000000000000000 1 K",
    "scard": "K",
    "script|load": "s",
    "xrange": "K - +",
    "xread": "STREAMS K 0",
    "xrevrange": "K + -",
    "zcount": "K 0 1",
    "zrangebyscore": "K 0 1",
}
# Of our scripts and of Celery's, whoever calls them: to call one is not enough.
_SCRIPTS: Mapping[str, str] = {
    "del": "K",
    "evalsha": "0000000000000000000000000000000000000000 1 K",
    "expire": "K 1",
    "hdel": "K f",
    "hexists": "K f",
    "hincrby": "K f 1",
    "hlen": "K",
    "hset": "K f v",
    "hsetnx": "K f v",
    "ltrim": "K 0 1",
    "persist": "K",
    "pexpire": "K 1",
    "sadd": "K m",
    "script|exists": "s",
    "script|load": "s",
    "srem": "K m",
    "unlink": "K",
    "xadd": "K * f v",
    "zadd": "K 1 m",
    "zrangebyscore": "K 0 1",
    "zrem": "K m",
    "zremrangebyscore": "K 0 0",
}
# Messages are sent, answers waited for, events told and heard.
_CELERY: Mapping[str, str] = {
    "brpop": "K 1",
    "lpush": "K m",
    "psubscribe": "C",
    "publish": "C m",
    "punsubscribe": "C",
    "set": "K v",
    "unwatch": "",
    "watch": "K",
}
_COMMANDS: Mapping[Role, Mapping[str, str]] = {
    # What was taken and not begun when a worker ends is put back. The reaper goes through the environments.
    Role.WORKER: {**_ALL, **_SCRIPTS, **_CELERY, "rpush": "K m", "sscan": "K 0"},
    # A change of encryption keys looks for all that is encrypted: the one time that keys are scanned.
    Role.OPERATOR: {**_ALL, **_LOOKS, **_SCRIPTS, **_CELERY, "hkeys": "K", "rename": "K K", "scan": "0"},
    Role.VIEWER: {**_ALL, **_LOOKS},
}
# Whoever only looks sees neither workspaces nor states, though they are encrypted.
_VIEWED = (
    *("beat:*", "broker:tools", "broker:wait", "cancels", "checks:*", "deadlines", "due", "env:*", "environments"),
    *("events", "facts:*", "firing:*", "firings", "gone", "job:*", "leases", "log:*", "overview", "paused", "queues"),
    *("retries", "rollout:*", "rollouts", "rollouts:*", "run:*", "runs:*", "schedule:*", "schedules", "server"),
    *("trace:*", "traces:*", "worker:*", "workers"),
)


@dataclass(frozen=True)
class Rules:
    """What a user needs: patterns of keys, patterns of channels, and commands with arguments to ask with."""

    keys: tuple[str, ...]
    channels: tuple[str, ...]
    commands: Mapping[str, str]

    def words(self) -> tuple[str, ...]:
        """As `ACL SETUSER` takes them, for a user that had nothing before."""
        patterns = (*(f"~{each}" for each in self.keys), "resetchannels", *(f"&{each}" for each in self.channels))
        return (*patterns, "-@all", *(f"+{name}" for name in sorted(self.commands)))


def rules(settings: Settings, role: Role) -> Rules:
    """What the users of this role need in this installation."""
    prefix, database = settings.key_prefix, endpoint.of(settings).database
    commands = dict(_COMMANDS[role]) | ({"select": str(database)} if database else {})
    if role is Role.VIEWER:
        return Rules(tuple(f"{prefix}:{name}" for name in _VIEWED), (), commands)
    channel = f"{settings.broker_prefix}/{database}."
    # A pattern that is subscribed to must stand there as it is: another one that covers it does not do.
    events = {Role.WORKER: "celeryev/worker.*", Role.OPERATOR: "celeryev/*"}[role]
    channels = dict.fromkeys(f"{channel}{name}" for name in ("celeryev/*", events, "celery.pidbox"))
    return Rules((f"{prefix}:*",), tuple(channels), commands)


def lacking(client: redis.Redis, needed: Rules) -> tuple[str, ...]:
    """Those words of `needed` that the client's user is not allowed; nothing is changed.

    It is asked for everything in a transaction that is then discarded: Redis refuses what is not allowed when it is
    asked for it, not when it does it.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    connection = client.connection_pool.get_connection()
    try:
        if missing := _ask(connection, [_BEGIN, _END]):
            return missing  # without these, all the rest would be done
        return _ask(connection, [_BEGIN, *_questions(needed), _END, Question("+exec", ("EXEC",))])
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]  # whatever went wrong: what was begun is forgotten
        client.connection_pool.release(connection)


def demand(client: redis.Redis, settings: Settings, role: Role) -> None:
    """See that the user may do all that the role needs.

    Raises:
        redis.exceptions.NoPermissionError: it may not; the words name what is missing.
        redis.RedisError: Redis does not answer.
    """
    if missing := lacking(client, rules(settings, role)):
        user = endpoint.of(settings).login.get("username", "default")
        raise redis.exceptions.NoPermissionError(f"user {user} lacks what {_WHO[role]} needs: {' '.join(missing)}")


def refused(error: BaseException) -> bool:
    """Whether it is for a lack of permission that Redis refused a command, or a script one of its commands."""
    if isinstance(error, redis.exceptions.NoPermissionError):
        return True
    return isinstance(error, redis.ResponseError) and any(map(str(error).count, _REFUSED))


@dataclass(frozen=True)
class Question:
    """A command that is asked for, and the word that allows it."""

    word: str
    command: tuple[str, ...]


# In the error of a script, and in that of a transaction.
_REFUSED = ("The user executing the script can't", "NOPERM")
_BEGIN, _END = Question("+multi", ("MULTI",)), Question("+discard", ("DISCARD",))
_WHO = {Role.WORKER: "a worker", Role.OPERATOR: "an operator", Role.VIEWER: "whoever looks"}
# What Redis speaks of when it refuses a word that begins so.
_OF = {"~": "key", "&": "channel", "+": " run "}


def _questions(needed: Rules) -> Iterator[Question]:
    for pattern in needed.keys:
        yield Question(f"~{pattern}", ("EXISTS", pattern.replace("*", "-")))
    for pattern in needed.channels:
        yield Question(f"&{pattern}", ("PSUBSCRIBE", pattern))
    places = {"K": needed.keys[0].replace("*", "-"), "C": needed.channels[0] if needed.channels else ""}
    for name, arguments in needed.commands.items():
        if name not in ("multi", "discard", "exec"):
            words = (places.get(word, word) for word in arguments.split())
            yield Question(f"+{name}", (*name.upper().split("|"), *words))


def _ask(connection: Any, questions: Sequence[Question]) -> tuple[str, ...]:
    """The words of the questions that are refused."""
    connection.send_packed_command(connection.pack_commands([question.command for question in questions]))
    found = []
    for question in questions:
        try:
            connection.read_response()
        except redis.exceptions.NoPermissionError as error:
            found += [question.word] if _OF[question.word[0]] in str(error) else []
        except redis.ResponseError:  # it is allowed, though not in this place
            continue
    return tuple(found)
