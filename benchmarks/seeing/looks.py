"""Looks: how long `stepmark status` takes as a whole process, and what it costs Redis."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.seeing import population
from workers.overview import Overviews
from workers.runtime import Base

WAYS: Mapping[str, tuple[str, ...]] = {"text": (), "--all": ("--all",), "--json": ("--json",)}


@dataclass(frozen=True)
class Fleet:
    """A fleet and its figures. seconds: of each way to look at it. bytes: in Redis, an environment."""

    count: int
    seconds: Mapping[str, float]
    processor_seconds: Mapping[str, float]
    blocked_seconds: float
    all_bytes: float
    row_bytes: float


def measure(base: Base, program: Path, variables: Mapping[str, str], count: int, times: int) -> Fleet:
    """Make a fleet of `count` environments in an empty Redis, and look at it, by turns in all ways."""
    base.client.flushdb()
    before = base.client.info("memory")["used_memory"]
    population.fill(base, count)
    held = base.client.info("memory")["used_memory"] - before
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(times + 1):
        for way, words in WAYS.items():
            seconds[way].append(_run((str(program), "status", *words), variables))
    return Fleet(
        count,
        {way: statistics.median(wall for wall, _ in found[1:]) for way, found in seconds.items()},
        {way: statistics.median(processor for _, processor in found[1:]) for way, found in seconds.items()},
        _blocked(base),
        held / count,
        base.client.memory_usage(base.keys.overview(), samples=0) / count,
    )


def _run(argv: Sequence[str], variables: Mapping[str, str]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, of a process from its start to its end."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(argv, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return took, used


def _blocked(base: Base) -> float:
    """For how long Redis serves nobody else."""
    overviews = Overviews(base.client, base.keys)
    overviews.read()
    base.client.config_resetstat()
    for _ in range(5):
        overviews.read()
    found = base.client.info("commandstats")["cmdstat_evalsha"]
    return float(found["usec_per_call"]) / 1e6
