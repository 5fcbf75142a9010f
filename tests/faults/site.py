"""Site: one group's own Redis, with a proxy before it, and its workers as processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from celery import Celery

from config import settings as settings_module
from config.settings import Settings
from tasks.adapters import daemon
from tasks.adapters.daemon import Started
from tests.faults import plans
from tests.faults.fault import Fault
from tests.faults.proxy import Proxy
from tests.support import poll
from workers import crypto, runtime
from workers.demo import redisserver
from workers.runtime import Base

GRACE_SECONDS = 0.5
REFUSING_VARIABLE = "FAULTS_REFUSING_REDIS"
# Of the tests; the packages may be installed elsewhere.
ROOT = Path(__file__).parents[2]
_QUEUES = ("tools", "wait")


@dataclass(frozen=True)
class Worker:
    """A worker. process: leads the process group of the main process and the pool's; tools have groups of their own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Signal the main process and all of the pool at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Site:
    """What the runs of one group share. folder: marks, logs, all files."""

    folder: Path
    base: Base
    app: Celery
    proxy: Proxy
    server: Started
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self, name: str, slots: int, *, queues: tuple[str, ...] = _QUEUES) -> Worker:
        """Start a worker that reaches Redis through the proxy if it is the `victim`, and wait until it is ready."""
        url = self.proxy.url if name == "victim" else self.base.settings.redis_url.get_secret_value()
        argv = (sys.executable, "-m", "celery", "-A", "tests.faults.worker", "worker", "-n", f"{name}@faults")
        options = ("-Q", ",".join(queues), "-P", "prefork", "-c", str(slots), "-l", "INFO")
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                (*argv, *options),
                cwd=ROOT,
                env=os.environ | {"STEPMARK_REDIS_URL": url},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        worker = Worker(f"{name}@faults", process, log)
        self.workers.append(worker)
        poll(lambda: " ready." in log.read_text(errors="replace"), seconds=60)
        return worker

    def rescue(self) -> None:
        """Have the second worker, which only looked on, take messages too."""
        for queue in _QUEUES:
            self.app.control.add_consumer(queue, destination=["rescuer@faults"], reply=True, timeout=5)

    def restart_redis(self, outage_seconds: float) -> None:
        """Kill Redis, and start it again on its files."""
        daemon.end(self.server)
        time.sleep(outage_seconds)
        program = redisserver.executable()
        assert program
        directory = self.folder / "redis"
        argv = (str(program), str(directory / "redis.conf"))
        self.server = daemon.start_detached(argv, cwd=directory, env={"PATH": daemon.PATH}, log=directory / "redis.log")
        poll(self._answers, seconds=20, every=0.02)

    def idle(self, worker: Worker) -> bool:
        """Whether a worker works on nothing."""
        answer = self.app.control.inspect(destination=[worker.name], timeout=2).active()
        return answer is not None and not any(answer.values())

    def _answers(self) -> bool:
        try:
            return bool(self.base.client.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGKILL)
            worker.process.wait(10)
        self.proxy.close()
        daemon.end(self.server)


@contextlib.contextmanager
def opened(folder: Path, lease_seconds: float) -> Iterator[Site]:
    """A site in `folder`; the settings are put into this process's environment, for its workers."""
    directory = folder / "redis"
    directory.mkdir(parents=True)
    server, url = redisserver.start(directory, tied=False)
    base = _base(folder, url, lease_seconds)
    base.client.execute_command("ACL", "SETUSER", "refused", "on", ">refused", "~*", "+@all", "-set", "-zadd")
    os.environ[REFUSING_VARIABLE] = f"redis://refused:refused@{url.rpartition('@')[2]}"
    from workers.celery import app

    site = Site(folder, base, app, Proxy(url), server)
    try:
        yield site
    finally:
        site.close()


def _base(folder: Path, url: str, lease_seconds: float) -> Base:
    os.environ |= {
        "STEPMARK_REDIS_URL": url,
        "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
        "STEPMARK_DATA_DIR": str(folder / "data"),
        "STEPMARK_LEASE_SECONDS": str(lease_seconds),
        "STEPMARK_GRACE_SECONDS": str(GRACE_SECONDS),
        plans.VARIABLE: str(folder),
    }
    settings_module.load.cache_clear()
    settings = settings_module.load()
    crypto.create(settings.encryption_key_file)
    return runtime.base(settings, patient=True)


def settings(fault: Fault) -> Settings:
    """The settings of a site for this fault, as far as expectations depend on them."""
    return Settings(lease_seconds=fault.lease_seconds, grace_seconds=GRACE_SECONDS)
