"""The processes of a chaos run: a Redis, workers each behind a proxy of its own, and what is found in /proc of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tasks.adapters import guard
from tests.faults import proxy
from tests.faults.proxy import Proxy
from tests.faults.server import Server
from tests.support import REPOSITORY, poll
from workers import crypto

LEASE_SECONDS = 3.0
GRACE_SECONDS = 0.5
MARK = "CHAOS_TOOL"
_POOLS = {"tools": ("-P", "prefork", "-c", "3"), "wait": ("-P", "threads", "-c", "8")}


class Worker:
    """One worker process. stopped: by SIGSTOP."""

    def __init__(self, name: str, queue: str, folder: Path, through: Proxy) -> None:
        self.name = name
        self.queue = queue
        self.proxy = through
        self.stopped = False
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / f"{name}.log"
        self._folder = folder

    def start(self) -> None:
        """Start it; a former process of it has ended."""
        argv = (sys.executable, "-m", "celery", "-A", "tests.faults.chaos_worker", "worker", "-Q", self.queue)
        data = self._folder / "data" / self.name
        variables = {"STEPMARK_REDIS_URL": self.proxy.url, "STEPMARK_DATA_DIR": str(data)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*argv, "-n", f"{self.name}@chaos", *_POOLS[self.queue], "-l", "INFO"),
                cwd=REPOSITORY,
                env=os.environ | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of its main process."""
        assert self.process
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether its main process lives."""
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        """Whether it has ever said that it takes messages."""
        return f"{self.name}@chaos ready" in self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """The processes of its pool."""
        return [
            pid for pid, (parent, group, _) in guard.processes().items() if parent == self.pid and group == self.pid
        ]

    def signal(self, number: signal.Signals, *, pool: bool = False) -> None:
        """Signal its main process, and those of its pool."""
        for pid in (self.pid, *(self.children() if pool else ())):
            kill(pid, number)


class World:
    """All processes of a chaos run; they work in `folder`."""

    def __init__(self, folder: Path, redis: Server, workers: tuple[Worker, ...]) -> None:
        self.folder = folder
        self.redis = redis
        self.workers = workers

    def tools(self) -> dict[int, str]:
        """The living guards and tools, with their command lines."""
        wanted = f"{MARK}={self.folder}".encode()
        found = {}
        for pid in guard.processes():
            with suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                    found[pid] = words.decode(errors="replace")
        return found

    def strays(self) -> list[int]:
        """Processes of pools whose main process has gone."""
        groups = {worker.pid for worker in self.workers if worker.alive}
        tools = self.tools()
        wanted = f"CHAOS_FOLDER={self.folder}".encode()
        found = []
        for pid, (_, group, _) in guard.processes().items():
            with suppress(OSError):
                if group not in groups and pid not in tools and pid != os.getpid():
                    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                    found += [pid] if wanted in environ else []
        return found


def kill(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def surroundings(folder: Path, url: str) -> dict[str, str]:
    """Make what a world needs in `folder`; the variables that its operator and its workers read."""
    (folder / "hosts").mkdir(parents=True)
    (folder / "host.log").touch()
    crypto.create(folder / "encryption.key")
    return {
        "CHAOS_FOLDER": str(folder),
        "STEPMARK_REDIS_URL": url,
        "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
        "STEPMARK_DATA_DIR": str(folder / "data" / "operator"),
        "STEPMARK_LEASE_SECONDS": str(LEASE_SECONDS),
        "STEPMARK_GRACE_SECONDS": str(GRACE_SECONDS),
    }


@contextmanager
def workers(folder: Path, redis: Server, each: int = 2) -> Iterator[World]:
    """`each` workers of either queue, every one behind a proxy of its own, while the block lasts."""
    with ExitStack() as stack:
        made = []
        for queue in _POOLS:
            for number in range(each):
                through = stack.enter_context(proxy.before(redis.url))
                made.append(Worker(f"{queue}{number}", queue, folder, through))
        world = World(folder, redis, tuple(made))
        stack.callback(_end, world)
        for worker in made:
            worker.start()
        for worker in made:
            poll(worker.ready, seconds=60)
        yield world


def _end(world: World) -> None:
    for worker in world.workers:
        if worker.alive:
            worker.signal(signal.SIGCONT, pool=True)
            worker.signal(signal.SIGKILL, pool=True)
            worker.process.wait()  # type: ignore[union-attr]
    for pid in (*world.strays(), *world.tools()):
        kill(pid, signal.SIGKILL)
