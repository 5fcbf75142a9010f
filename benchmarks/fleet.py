"""A fleet whose tools are simulated, through the real workers, broker, tracker and rollouts.

python benchmarks/fleet.py                                   1,000 environments
python benchmarks/fleet.py --environments 100 1000 10000     other sizes, one after the other
python benchmarks/fleet.py --environments 10000 --storm      and a worker killed every minute, Redis killed once

Exit status 1: an environment is not accounted for.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.simulated import ideal, site, work
from config import settings as settings_module
from config.fleet import EnvironmentSpec
from config.rollout import Policy
from workers import runtime, verbs
from workers.celery import app
from workers.rolloutdraft import RolloutRequest
from workers.rolloutrecord import RolloutRecord
from workers.rollouts import Rollouts

MARK = "<!-- What follows is written by benchmarks/fleet.py. -->"
_KILL_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_STATUS_SECONDS = 20.0


@dataclass
class Measured:
    """One rollout. Times in seconds, memory in bytes."""

    environments: int
    ideal: float
    makespan: float = 0.0
    workers_cpu: float = 0.0
    redis_cpu: float = 0.0
    workers_memory: int = 0
    redis_memory: int = 0
    status: list[float] = field(default_factory=list)
    deeds: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def specs(count: int, seed: str) -> tuple[EnvironmentSpec, ...]:
    """As many environments of a provider whose steps are all simulated."""
    return tuple(
        EnvironmentSpec.model_validate(
            {
                "name": f"sim-{number:05}",
                "provider": {"name": "sandbox"},
                "ssh": {"key": "env:KEY"},
                "labels": {"seed": seed},
            }
        )
        for number in range(count)
    )


class Driver:
    """One rollout over one site."""

    def __init__(self, where: site.Site, count: int, chosen: argparse.Namespace) -> None:
        self._site = where
        self._base = runtime.base(settings_module.load())
        app.conf.broker_url = where.redis.url
        app._after_fork()
        self._rollouts = Rollouts(self._base, app)
        self._specs = specs(count, chosen.seed)
        self._parallel = chosen.max_parallel
        self._storm = chosen.storm
        expected = ideal.makespan(chosen.seed, [spec.name for spec in self._specs], self._parallel)
        self._measured = Measured(count, expected)
        self._seed = chosen.seed

    def drive(self) -> Measured:
        """Roll out to the end."""
        before, memory = self._site.cpu_seconds(), self._site.memory_bytes()[1]
        began = time.monotonic()
        request = RolloutRequest(
            "up", self._specs, verbs.whoami(), "the benchmark", Policy(max_parallel=self._parallel)
        )
        rollout = self._rollouts.begin(request)
        while self._rollouts.advance(rollout):
            pass
        self._watch(rollout, began)
        measured = self._measured
        measured.makespan = time.monotonic() - began
        workers, redis_cpu = self._site.cpu_seconds()
        measured.workers_cpu, measured.redis_cpu = workers - before[0], redis_cpu - before[1]
        measured.workers_memory = self._site.memory_bytes()[0]
        measured.redis_memory = self._site.memory_bytes()[1] - memory
        measured.status.append(_timed("status"))
        measured.wrong = self._wrong(rollout)
        return measured

    def _watch(self, rollout: str, began: float) -> None:
        """Look until it has ended; let things die meanwhile, if that was asked for."""
        next_kill, next_status, killed, restarted = began + _KILL_SECONDS, began + _STATUS_SECONDS, 0, False
        while not (record := self._record(rollout)) or not record.over:
            time.sleep(_LOOK_SECONDS)
            if time.monotonic() > next_status and not self._storm:
                self._measured.status.append(_timed("status"))
                next_status = time.monotonic() + _STATUS_SECONDS
            if self._storm and time.monotonic() > next_kill:
                self._deed(f"killed worker {self._site.kill(killed % len(self._site.workers))}", began)
                killed, next_kill = killed + 1, next_kill + _KILL_SECONDS
            if self._storm and not restarted and record and record.ended > record.total // 2:
                self._site.redis.restart()
                self._deed("killed Redis and started it again", began)
                restarted = True
            if record:
                _say(f"{time.monotonic() - began:6.0f} s  {record.ended}/{record.total}, {record.live} going on")

    def _record(self, rollout: str) -> RolloutRecord | None:
        with suppress(redis.RedisError):
            return self._rollouts.store.rollout(rollout)
        return None

    def _deed(self, words: str, began: float) -> None:
        self._measured.deeds.append(f"{time.monotonic() - began:.0f} s: {words}")
        _say(self._measured.deeds[-1])

    def _wrong(self, rollout: str) -> list[str]:
        """What is not accounted for: each environment has ended once, as its draw says, and nothing is left over."""
        record, outcomes = self._rollouts.store.rollout(rollout), self._rollouts.store.outcomes(rollout)
        found = [f"{spec.name} has no outcome" for spec in self._specs if spec.name not in outcomes]
        for name, outcome in outcomes.items():
            last = work.fault(self._seed, name, "install-docker", 1)
            expected = ("failed", "install-docker") if last else ("succeeded", "")
            if (outcome.status, outcome.step) != expected:
                found.append(f"{name}: {outcome.status} {outcome.step} {outcome.kind}, not {expected}")
        held = [each.name for each in self._base.store.environments() if each.run]
        client, keys = self._base.client, self._base.keys
        left = {key: client.zcard(key) for key in (keys.leases(), keys.due(), keys.retries(), keys.deadlines())}
        found += [f"{name} is still held" for name in held]
        found += [f"{count} left in {key}" for key, count in left.items() if count]
        if (record.live, record.ended, sum(record.live_of.values())) != (0, record.total, 0):
            found.append(f"slots do not add up: {record}")
        return found


def _measured(count: int, chosen: argparse.Namespace) -> Measured:
    with tempfile.TemporaryDirectory(prefix="stepmark-fleet-") as folder, site.running(Path(folder)) as where:
        return Driver(where, count, chosen).drive()


def _timed(command: str) -> float:
    """Seconds that a command of the operator takes, its process and all."""
    began = time.monotonic()
    subprocess.run((sys.executable, "-m", "workers.cli", command), stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def lines(found: list[Measured]) -> list[str]:
    """The table."""
    heads = ("environments", "makespan", "ideal", "ratio", "CPU an environment", "of it Redis", "memory of workers")
    rows = ["| " + " | ".join((*heads, "Redis an environment", "`status`", "wrong")) + " |", "|" + "---|" * 10]
    for each in found:
        count = each.environments
        cells = (
            f"{count:,}",
            f"{each.makespan:.1f} s",
            f"{each.ideal:.1f} s",
            f"{each.makespan / each.ideal:.2f}",
            f"{(each.workers_cpu + each.redis_cpu) / count * 1000:.1f} ms",
            f"{each.redis_cpu / count * 1000:.1f} ms",
            f"{each.workers_memory / 2**20:.0f} MiB",
            f"{each.redis_memory / count / 1024:.1f} KiB",
            f"{statistics.median(each.status):.2f} s",
            str(len(each.wrong)),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environments", type=int, nargs="+", default=[1000], help="how many, each by itself")
    parser.add_argument("--max-parallel", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--storm", action="store_true", help="kill a worker every minute, and Redis once")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page, after its mark")
    chosen = parser.parse_args()
    # Each in a process of its own: what has met one Redis does not meet the next one.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        found = list(pool.map(_measured, chosen.environments, repeat(chosen)))
    for words in [words for each in found for words in each.wrong[:20]]:
        print(f"WRONG: {words}")
    table = [_machine(), "", *lines(found), *(f"- {deed}" for each in found for deed in each.deeds)]
    print("\n".join(table))
    if chosen.write:
        text = chosen.write.read_text().partition(MARK)[0]
        chosen.write.write_text("\n".join((f"{text}{MARK}", "", *table, "")))
    return 1 if any(each.wrong for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
