"""What it costs to wait for hosts that come up late, by the kind of worker: `python benchmarks/waiting.py`.

python benchmarks/waiting.py --hosts 200 --way threads-200     smaller, and one way only; again for more

Hosts come up between a minute and two after the launch; cloud-init takes them a minute more. A real worker for `wait`,
real tracker, real steps: `register`, whose two waits are measured. The hosts are one SSH server, a process of its own.
Counted is what the worker's control group uses, its guards and `ssh` included.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plays import accounts
from benchmarks.waits import hosts
from config import settings as settings_module
from config.fleet import EnvironmentSpec
from tasks.adapters import ssh
from tasks.failure import RunStatus
from tests.faults import server
from tests.support import poll
from workers import crypto, runtime
from workers.celery import app
from workers.launch import Launcher, Request
from workers.registry import Registry
from workers.runtime import Base

MARK = "<!-- What follows is written by benchmarks/waiting.py. -->"
TOP = Path(__file__).parents[1]
# By name: the app, the pool, how many at once, and what has to be installed.
WAYS = {
    "threads-100": ("workers", "threads", 100, ""),
    "threads-1000": ("workers", "threads", 1000, ""),
    "gevent-1000": ("workers", "gevent", 1000, "gevent"),
    "polls-sent-again": ("benchmarks.waits.polling", "threads", 20, ""),
}
FIRST, LAST, CLOUD, ANSWER = 60.0, 120.0, 60.0, 0.3
LOOK_SECONDS = 2.0
SETTLE_SECONDS = 15.0
FILES = 65_536


@dataclass
class Seen:
    """What was seen of one way. lateness: seconds after a host was up, and after its cloud-init had ended, a host each.

    waiting_cpu: seconds of CPU a host and minute while none is up. peak: bytes; threads, connections: at most.
    """

    name: str
    count: int
    waiting_cpu: float = 0.0
    total_cpu: float = 0.0
    peak: int = 0
    threads: int = 0
    connections: int = 0
    commands: int = 0
    failed: int = 0
    lateness: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))


class Bench:
    """One way at work: its own Redis, hosts and workers."""

    def __init__(self, folder: Path, way: str, count: int) -> None:
        self.folder = folder
        self.way = way
        self.seen = Seen(way, count)
        private, _ = ssh.generate_host_key()
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_text(private)
        crypto.create(folder / "encryption.key")

    def run(self) -> Seen:
        """Launch all, watch until all have ended, and count."""
        with ExitStack() as stack:
            redis = stack.enter_context(server.running(self.folder / "redis", appendfsync="everysec"))
            base = self._base(redis.url)
            group = stack.enter_context(accounts.group("wait"))
            application, pool, slots, _ = WAYS[self.way]
            stack.enter_context(self._worker("wait", application, pool, slots, group))
            stack.enter_context(self._worker("tools", "workers", "threads", 4, None))
            poll(lambda: len(Registry(base.client, base.keys).workers()) == 2, seconds=60, every=0.5)
            plan = hosts.Plan(self.seen.count, time.time() + SETTLE_SECONDS, FIRST, LAST, CLOUD, ANSWER)
            stack.enter_context(self._hosts(plan))
            self._watch(base, group, plan, self._launch(base))
        return self.seen

    def _base(self, url: str) -> Base:
        os.environ |= {
            "STEPMARK_REDIS_URL": url,
            "STEPMARK_ENCRYPTION_KEY_FILE": str(self.folder / "encryption.key"),
            "STEPMARK_DATA_DIR": str(self.folder / "data"),
        }
        settings_module.load.cache_clear()
        app.conf.broker_url = url
        app._after_fork()  # its connections are to the Redis of the way before
        return runtime.base(settings_module.load())

    @contextmanager
    def _worker(self, queue: str, application: str, pool: str, slots: int, group: Path | None) -> Iterator[None]:
        argv = (sys.executable, "-m", "celery", "-A", application, "worker", "-Q", queue, "-n", f"{queue}@bench")
        with (self.folder / f"{queue}.log").open("wb") as log, ExitStack() as stack:
            if group:
                stack.enter_context(accounts.inside(group))
            process = subprocess.Popen(
                (*argv, "-P", pool, "-c", str(slots), "-l", "INFO"), cwd=TOP, stdout=log, stderr=log
            )
            stack.close()
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    @contextmanager
    def _hosts(self, plan: hosts.Plan) -> Iterator[None]:
        with (self.folder / "hosts.log").open("wb") as log:
            argv = (sys.executable, hosts.__file__, json.dumps(asdict(plan)))
            process = subprocess.Popen(argv, stdout=log, stderr=log)
            try:
                yield
            finally:
                process.kill()
                process.wait()

    def _launch(self, base: Base) -> list[str]:
        launcher = Launcher(base, app)
        specs = (self._spec(number) for number in range(self.seen.count))
        return [launcher.launch(Request(spec, ("register",), "bench", "bench")).run for spec in specs]

    def _spec(self, number: int) -> EnvironmentSpec:
        content = {
            "name": f"host-{number}",
            "provider": {"name": "existing", "address": hosts.address(number)},
            "ssh": {"key": f"file:{self.folder / 'key'}", "port": hosts.PORT},
            # A small worker gets to the last host late, and all have to be waited for to the end.
            "parameters": {"timeouts": {"wait-ssh-connectivity": 3600, "cloud-init-wait": 3600}},
        }
        return EnvironmentSpec.model_validate(content)

    def _watch(self, base: Base, group: Path, plan: hosts.Plan, runs: Sequence[str]) -> None:
        seen = self.seen
        commands = _commands(base)
        time.sleep(max(0.0, plan.began_at - time.time()))
        began, used = time.monotonic(), accounts.cpu_seconds(group)
        while base.client.zcard(base.keys.deadlines()):  # one command, for commands are counted
            time.sleep(LOOK_SECONDS)
            if time.time() < plan.up_at(0):
                minutes = (time.monotonic() - began) / 60
                seen.waiting_cpu = (accounts.cpu_seconds(group) - used) / minutes / seen.count
            seen.peak = max(seen.peak, accounts.memory_bytes(group))
            seen.threads = max(seen.threads, _threads(group))
            seen.connections = max(seen.connections, base.client.info("clients")["connected_clients"])
        seen.total_cpu = accounts.cpu_seconds(group) - used
        seen.commands = _commands(base) - commands
        for number, record in enumerate(base.store.run(run) for run in runs):
            seen.failed += record.status is not RunStatus.SUCCEEDED
            ends = {event["step"]: float(event["at"]) for event in base.store.events(record.run) if _is_end(event)}
            seen.lateness[0].append(ends.get("wait-ssh-connectivity", 0) - plan.up_at(number))
            seen.lateness[1].append(ends.get("cloud-init-wait", 0) - plan.ready_at(number))


def _is_end(event: Mapping[str, str]) -> bool:
    return event["event"] == "step-ended"


def _commands(base: Base) -> int:
    return int(base.client.info("stats")["total_commands_processed"])


def _threads(group: Path) -> int:
    """Of the process that has most: the worker."""
    found = [0]
    for pid in accounts.members(group):
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        found.append(int(text.partition("Threads:")[2].split()[0]))
    return max(found)


def lines(found: Sequence[Seen]) -> Iterator[str]:
    """The table."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    yield f"{found[0].count} hosts; {machine}"
    yield ""
    yield (
        "| | CPU a host and minute, none up | CPU a host, all in all | memory at most | threads | connections to Redis "
        "| Redis commands a host | late: SSH, median / worst | late: cloud-init | failed |"
    )
    yield "|---" * 10 + "|"
    for seen in found:
        late = [f"{statistics.median(each):.1f} / {max(each):.1f} s" for each in seen.lateness]
        cells = (
            *(f"{1000 * seen.waiting_cpu:.1f} ms", f"{1000 * seen.total_cpu / seen.count:.0f} ms"),
            *(f"{seen.peak / 2**20:.0f} MiB", seen.threads, seen.connections, f"{seen.commands / seen.count:.0f}"),
            *(*late, seen.failed),
        )
        yield f"| {seen.name} | {' | '.join(map(str, cells))} |"


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way; again for more")
    parser.add_argument("--keep", type=Path, help="a new folder for the logs")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page, after its mark")
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))
    found = []
    with tempfile.TemporaryDirectory(prefix="stepmark-waiting-") as name:
        for way in chosen.way or WAYS:
            if (needed := WAYS[way][3]) and importlib.util.find_spec(needed) is None:
                print(f"{way}: {needed} is not installed", file=sys.stderr)
                continue
            folder = (chosen.keep or Path(name)).absolute() / way
            folder.mkdir(parents=True)
            found.append(Bench(folder, way, chosen.hosts).run())
            print(f"{way}: done", file=sys.stderr, flush=True)
    table = list(lines(found))
    print("\n".join(table))
    if chosen.write:
        text = chosen.write.read_text().partition(MARK)[0]
        chosen.write.write_text("\n".join((f"{text}{MARK}", "", *table, "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
