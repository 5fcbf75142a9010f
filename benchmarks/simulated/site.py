"""The processes of a simulated fleet: a Redis, workers for waits and for tools, and what they cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters import guard
from tests.faults import server
from tests.faults.server import Server
from tests.support import poll
from workers import crypto

ROOT = Path(__file__).parents[2]
# Each a process: two for tools, as there are two cores, and one for what waits.
WORKERS = {"tools0": ("tools", 150), "tools1": ("tools", 150), "wait0": ("wait", 1000)}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Worker:
    """One worker process; what those that it has been before have cost."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    spent_seconds: float = 0.0


class Site:
    """Redis and the workers, in `folder`."""

    def __init__(self, folder: Path, redis: Server) -> None:
        self.folder = folder
        self.redis = redis
        self.workers = [self._started(name) for name in WORKERS]

    def wait_until_ready(self) -> None:
        """Until every worker takes messages."""
        for worker in self.workers:
            poll(lambda worker=worker: b" ready." in worker.log.read_bytes(), seconds=120)

    def kill(self, place: int) -> str:
        """Kill a worker, and start it again; gives its name."""
        worker = self.workers[place]
        spent = worker.spent_seconds + cpu_seconds(worker.process.pid)
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
        self.workers[place] = self._started(worker.name)
        self.workers[place].spent_seconds = spent
        return worker.name

    def cpu_seconds(self) -> tuple[float, float]:
        """What the workers and Redis have spent so far."""
        found = self.redis.client.info("cpu")
        workers = sum(worker.spent_seconds + cpu_seconds(worker.process.pid) for worker in self.workers)
        return workers, found["used_cpu_user"] + found["used_cpu_sys"]

    def memory_bytes(self) -> tuple[int, int]:
        """What the workers hold, and what Redis holds."""
        resident = sum(resident_bytes(worker.process.pid) for worker in self.workers)
        return resident, self.redis.client.info("memory")["used_memory"]

    def stop(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()

    def _started(self, name: str) -> Worker:
        queue, threads = WORKERS[name]
        argv = (sys.executable, "-m", "celery", "-A", "benchmarks.simulated.worker", "worker", "-n", f"{name}@sim")
        log = self.folder / f"{name}.{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                (*argv, "-Q", queue, "-P", "threads", "-c", str(threads), "-l", "INFO"),
                cwd=ROOT,
                env=os.environ | {"STEPMARK_DATA_DIR": str(self.folder / name)},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        return Worker(name, log, process)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS
    return own + sum(cpu_seconds(child) for child, (parent, _, _) in guard.processes().items() if parent == pid)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """A site whose Redis writes its file every second, as in production, while the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    crypto.create(folder / "encryption.key")
    with ExitStack() as stack:
        redis = stack.enter_context(server.running(folder / "redis", appendfsync="everysec"))
        os.environ |= {
            "STEPMARK_REDIS_URL": redis.url,
            "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
            "STEPMARK_DATA_DIR": str(folder / "operator"),
        }
        site = Site(folder, redis)
        stack.callback(site.stop)
        site.wait_until_ready()
        yield site
