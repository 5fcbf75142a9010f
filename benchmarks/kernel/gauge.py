"""Gauge: what a stretch of time has cost: seconds, CPU, round trips to Redis and bytes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis

from tasks.adapters import guard

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """What was used until a moment.

    cpu_seconds: of the worker and of Redis. round_trips: reads by Redis from its clients' sockets.
    bytes: to and from Redis.
    """

    at: float
    cpu_seconds: float
    redis_seconds: float
    round_trips: int
    bytes: int


@dataclass(frozen=True)
class Cost:
    """Of one step, in the mean. milliseconds: CPU time of the worker and of Redis together."""

    steps_a_second: float
    milliseconds: float
    redis_milliseconds: float
    round_trips: float
    kilobytes: float


def read(client: redis.Redis, group: int) -> Reading:
    """Now. group: the process group of the worker."""
    at = time.monotonic()
    info = cast("dict[str, Any]", client.info("everything"))
    redis_seconds = info["used_cpu_user"] + info["used_cpu_sys"]
    return Reading(
        at=at,
        cpu_seconds=redis_seconds + _group_seconds(group),
        redis_seconds=redis_seconds,
        round_trips=info["total_reads_processed"],
        bytes=info["total_net_input_bytes"] + info["total_net_output_bytes"],
    )


def between(first: Reading, last: Reading, steps: int) -> Cost:
    """The cost of each of `steps`."""
    return Cost(
        steps_a_second=steps / (last.at - first.at),
        milliseconds=1000 * (last.cpu_seconds - first.cpu_seconds) / steps,
        redis_milliseconds=1000 * (last.redis_seconds - first.redis_seconds) / steps,
        round_trips=(last.round_trips - first.round_trips) / steps,
        kilobytes=(last.bytes - first.bytes) / 1000 / steps,
    )


def _group_seconds(group: int) -> float:
    """CPU time of all processes of the group, that of their ended children included."""
    return sum(_seconds(pid) for pid, (_, of, _) in guard.processes().items() if of == group)


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * _TICK_SECONDS
