"""The chaos driver: runs over many environments while all that can die does, then calm, and what must be true.

`python -m tests.faults.chaos --seed 7 --seconds 60 --runs 300`: the same seed draws the same deeds.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import redis
from kombu.exceptions import OperationalError

from config import settings as settings_module
from config.fleet import EnvironmentSpec
from tasks.failure import RunStatus
from tests.faults import chaos_check, chaos_deeds, chaos_world, server
from tests.faults.chaos_deeds import Scene
from tests.faults.chaos_worker import app
from tests.faults.chaos_workflow import CHAOS
from tests.faults.chaos_world import World
from tests.faults.server import Server
from workers import runtime
from workers.launch import Launcher, Request, Resumption
from workers.refusals import RefusedError

_PAUSE_SECONDS = (0.1, 1.2)
_CALM_SECONDS = 180.0
_AWAY = (redis.RedisError, OperationalError, OSError)


class Driver:
    """One chaos run. runs: how many are launched at most, over a tenth as many environments."""

    def __init__(self, world: World, seed: int, runs: int) -> None:
        self._base = runtime.base(settings_module.load())
        self._launcher = Launcher(self._base, app)
        self._scene = Scene(world, self._base, random.Random(seed))  # noqa: S311 - no secret
        self._seed = seed
        self._left = runs
        self._names = [f"host-{number}" for number in range(max(4, runs // 10))]
        self._began = time.monotonic()
        self.deeds: Counter[str] = Counter()

    def storm(self, seconds: float) -> None:
        """Launch, resume, and let things die, for so long."""
        while time.monotonic() - self._began < seconds:
            self._one_turn()
            time.sleep(self._scene.random.uniform(*_PAUSE_SECONDS))

    def _one_turn(self) -> None:
        chaos_deeds.undo(self._scene)
        self._revive()
        try:
            self._operate(self._scene.random.sample(self._names, 4 if len(self._names) < 20 else 12))
            self.say(chaos_deeds.one(self._scene))
        except _AWAY as error:
            self.say(f"Redis does not answer the operator: {error}")

    def _revive(self) -> None:
        for worker in self._scene.world.workers:
            if not worker.alive:
                worker.start()

    def _operate(self, names: list[str]) -> None:
        """Launch or resume on these environments, as far as they are free."""
        known = {record.name: record for record in self._base.store.environments()}
        for name in names:
            record = known.get(name)
            if self._left == 0 or (record and record.run):
                continue
            with suppress(RefusedError):
                if record and record.last_run and self._scene.random.random() < 0.7:
                    last = self._base.store.run(record.last_run)
                    if last.status in (RunStatus.FAILED, RunStatus.CANCELLED):
                        self._launcher.resume(last, Resumption(), "chaos")
                        continue
                self._launcher.launch(Request(self._spec(name), (CHAOS.name,), "chaos", "chaos"))
                self._left -= 1

    def _spec(self, name: str) -> EnvironmentSpec:
        labels = {"draw": str(self._seed), "fails": "8", "seconds": str(self._scene.random.choice((0.02, 0.1, 1.0)))}
        provider = {"name": "existing", "address": "127.1.2.3"}
        content = {"name": name, "provider": provider, "ssh": {"key": "env:KEY"}, "labels": labels}
        return EnvironmentSpec.model_validate(content)

    def calm(self) -> list[str]:
        """Let everything come back, wait until all has ended; what is then not as it must be."""
        chaos_deeds.undo(self._scene, all_of_it=True)
        self.say("calm")
        last = time.monotonic() + _CALM_SECONDS
        left: list[str] = ["nothing was read"]
        while left and time.monotonic() < last:
            self._revive()
            time.sleep(0.5)
            with suppress(*_AWAY):
                left = chaos_check.unfinished(self._base)
        found = chaos_check.broken(self._scene)
        while found and not left and time.monotonic() < last:  # what ends a little after its run
            time.sleep(1)
            found, before = chaos_check.broken(self._scene), found
            if found == before:
                break
        return left + found

    def say(self, words: str) -> None:
        """Print what was done, and when."""
        if words:
            self.deeds[" ".join(words.split()[:2])] += 1
            print(f"{time.monotonic() - self._began:7.2f} {words}", flush=True)

    def summary(self) -> str:
        """The runs by status, and how often they went on."""
        records = chaos_check.all_runs(self._base)
        events = Counter(event["event"] for record in records for event in self._base.store.events(record.run))
        status = Counter(record.status.value for record in records)
        kinds = Counter(record.failure.error_kind.value for record in records if record.failure)
        return f"{len(records)} runs: {dict(status)}, {dict(kinds)}; events: {dict(events)}"


def _workers(folder: Path, redis_server: Server) -> AbstractContextManager[World]:
    os.environ |= chaos_world.surroundings(folder, redis_server.url)  # before the app is first used
    return chaos_world.workers(folder, redis_server)


def main() -> int:
    """Drive; 0 if all was as it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311 - no secret
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="where to leave the logs; none: they are not kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = (chosen.folder or Path(temporary)).absolute() / f"seed-{chosen.seed}"
        with server.running(folder / "redis") as redis_server, _workers(folder, redis_server) as world:
            print(f"seed {chosen.seed}, {chosen.seconds:g} s, at most {chosen.runs} runs")
            driver = Driver(world, chosen.seed, chosen.runs)
            driver.storm(chosen.seconds)
            found = driver.calm()
            print(driver.summary())
    for words in found:
        print(f"WRONG: {words}")
    print(f"seed {chosen.seed}: {'wrong' if found else 'all is as it must be'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
