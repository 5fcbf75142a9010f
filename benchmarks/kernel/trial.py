"""Trial: one contender's worker does all steps of some chains that wait for it, and what that costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.kernel import bare, gauge, shape, steps
from benchmarks.kernel.gauge import Cost
from tests.support import poll

ROOT = Path(__file__).parents[2]
_WARM_CHAINS = 10
# Whether a worker of Stepmark tells Flower what it does.
EVENTS = "BENCHMARK_EVENTS"


@dataclass(frozen=True)
class Contender:
    """Who runs the steps. module: of its app. kind: of a bare chain. events: as Flower needs them."""

    name: str
    module: str
    kind: str = ""
    events: bool = False

    def variables(self) -> dict[str, str]:
        """What its processes read."""
        return {bare.KIND: self.kind, EVENTS: "yes" if self.events else ""}

    def options(self) -> tuple[str, ...]:
        """Of its worker's command line."""
        queues = ("-Q", "wait,tools") if self.module == "emptied" else ()
        return (*queues, *(("-E",) if self.events else ()))


@dataclass(frozen=True)
class Ground:
    """Where trials take place. pool, slots: of the worker. chains: how many 13 steps are counted each time."""

    folder: Path
    client: redis.Redis
    pool: str = "prefork"
    slots: int = 2
    chains: int = 150

    def run(self, contender: Contender) -> Cost:
        """The cost of a step, in a fresh worker and an empty Redis."""
        self.client.flushall()
        Path(os.environ[steps.COUNT_FILE]).unlink(missing_ok=True)
        with self._worker(contender) as process:
            self._send(contender, "warm", _WARM_CHAINS)
            self._done(_WARM_CHAINS)
            os.killpg(process.pid, signal.SIGSTOP)
            self._send(contender, "host", self.chains)
            first = gauge.read(self.client, process.pid)
            os.killpg(process.pid, signal.SIGCONT)
            self._done(_WARM_CHAINS + self.chains)
            last = gauge.read(self.client, process.pid)
        return gauge.between(first, last, self.chains * len(shape.STEPS))

    def _done(self, chains: int) -> None:
        poll(lambda: steps.counted() >= chains * len(shape.STEPS), seconds=60, every=0.005)

    def _environment(self, contender: Contender) -> dict[str, str]:
        return {**os.environ, **contender.variables(), "PYTHONPATH": str(ROOT)}

    def _send(self, contender: Contender, prefix: str, count: int) -> None:
        argv = (sys.executable, "-m", "benchmarks.kernel.sender", contender.module, prefix, str(count))
        subprocess.run(argv, cwd=ROOT, env=self._environment(contender), check=True)

    @contextmanager
    def _worker(self, contender: Contender) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that takes messages, while the block lasts."""
        log = self.folder / "worker.log"
        argv = (sys.executable, "-m", "celery", "-A", f"benchmarks.kernel.{contender.module}", "worker")
        options = ("-n", "bench@here", "-P", self.pool, "-c", str(self.slots), "-l", "INFO", *contender.options())
        with log.open("wb") as output:
            process = subprocess.Popen(
                (*argv, *options),
                cwd=ROOT,
                env=self._environment(contender),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            poll(lambda: " ready." in log.read_text(errors="replace"), seconds=60)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
