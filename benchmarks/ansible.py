"""What a play costs, in seconds of CPU on the worker and on the host: `python benchmarks/ansible.py`. As root.

python benchmarks/ansible.py --against ../before     another checkout's playbooks and code in turn with these

The playbooks of `configure` on light hosts of the sandbox, one play at a time: each way has hosts of its own, which
it configures once and then again, so many rounds; the ways take turns. A light host has no systemd and no Docker: two
small scripts stand in for `systemctl` and `docker`, and small packages for the engine and Compose.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plays import accounts
from tasks.sandbox.model import HostKind
from tests.e2e.hosts import Host, running

TOP = Path(__file__).parents[1]
MARK = "<!-- What follows is written by benchmarks/ansible.py. -->"
DRIVER = Path(__file__).parent / "plays" / "driver.py"
PLAYBOOKS = ("install-docker", "install-docker-compose", "configure-security-updates", "configure-firewall")
TITLES = {"first": "The first time, packages installed", "again": "Again, when all is as wanted"}
SETTLE_SECONDS = 0.2
LOOK_SECONDS = 0.02
STAND_INS = r"""
cat >/usr/bin/docker <<'E'
#!/bin/sh
case $1 in info) echo 20.10.24 ;; compose) echo 'Docker Compose version v2' ;; esac
E
cat >/usr/bin/systemctl <<'E'
#!/bin/sh
case $1 in
show) printf 'LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n' ;;
is-active) echo active ;;
is-enabled) echo enabled ;;
esac
E
chmod 755 /usr/bin/docker /usr/bin/systemctl; getent group docker >/dev/null || groupadd docker
"""


@dataclass(frozen=True)
class Cost:
    """Of one play: seconds of CPU on the worker and on the host, and on the clock."""

    worker: float
    host: float
    wall: float


@dataclass
class Way:
    """One way to play: whose packages, with hosts of its own. found: what was seen, by playbook and when.

    idle, peak: bytes of all processes of the worker, between plays and while it plays, at most.
    """

    name: str
    checkout: Path
    group: Path
    hosts: list[Host] = field(default_factory=list)
    found: dict[tuple[str, str], list[Cost]] = field(default_factory=lambda: defaultdict(list))
    idle: int = 0
    peak: int = 0

    @contextmanager
    def driving(self, log: Path) -> Iterator[subprocess.Popen[str]]:
        """The process that plays."""
        with log.open("w") as file:
            driver = subprocess.Popen(
                (sys.executable, DRIVER, self.name.split()[0], self.group),
                env=os.environ | {"PYTHONPATH": str(self.checkout)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
            try:
                yield driver
            finally:
                driver.communicate(timeout=60)


class Bench:
    """The ways, their drivers, and the account of the hosts."""

    def __init__(self, ways: Sequence[Way], hosts: Path, user: str) -> None:
        self.ways = ways
        self.drivers: dict[str, subprocess.Popen[str]] = {}
        self._hosts = hosts
        self._user = user

    def round(self, when: str) -> None:
        """Each playbook on each host, the ways in turn."""
        for number in range(len(self.ways[0].hosts)):
            for playbook in PLAYBOOKS:
                for way in self.ways:
                    way.found[playbook, when].append(self._play(way, way.hosts[number], playbook))
        print(f"{when}: done", file=sys.stderr, flush=True)

    def weigh(self, way: Way) -> None:
        """See how much memory plays take: in a round that does not count, for to look costs too."""
        done = threading.Event()
        way.idle = accounts.memory_bytes(way.group)

        def look() -> None:
            while not done.wait(LOOK_SECONDS):
                way.peak = max(way.peak, accounts.memory_bytes(way.group))

        thread = threading.Thread(target=look)
        thread.start()
        for playbook in PLAYBOOKS:
            self._asked(way, way.hosts[0], playbook)
        done.set()
        thread.join()

    def _play(self, way: Way, host: Host, playbook: str) -> Cost:
        before = accounts.cpu_seconds(way.group), accounts.cpu_seconds(self._hosts)
        seconds = self._asked(way, host, playbook)["seconds"]
        time.sleep(SETTLE_SECONDS)  # a connection that is closed ends on the host a moment later
        after = accounts.cpu_seconds(way.group), accounts.cpu_seconds(self._hosts)
        return Cost(after[0] - before[0], after[1] - before[1], seconds)

    def _asked(self, way: Way, host: Host, playbook: str) -> dict[str, float]:
        driver = self.drivers[way.name]
        if driver.stdin is None or driver.stdout is None:
            raise AssertionError("both are pipes")
        asked = {"facts": host.facts.model_dump_json(), "folder": str(host.folder), "user": self._user}
        driver.stdin.write(json.dumps(asked | {"playbook": f"{playbook}.yml"}) + "\n")
        driver.stdin.flush()
        said: dict[str, float] = json.loads(driver.stdout.readline())
        return said


def lines(bench: Bench, rounds: int) -> Iterator[str]:
    """The tables: a play each, then all four together; then the memory."""
    ways = bench.ways
    yield f"{len(ways[0].hosts)} hosts each, {rounds} rounds; {_machine()}. CPU seconds of a play, the worker's + the"
    yield "host's = both, medians; in brackets the seconds on the clock."
    for when, title in TITLES.items():
        yield from ("", *_head(title, ways))
        sums = [[_median(way.found[playbook, when]) for playbook in PLAYBOOKS] for way in ways]
        for number, playbook in enumerate(PLAYBOOKS):
            yield _row(playbook, [_cell(costs[number : number + 1]) for costs in sums])
        yield _row("all four", map(_cell, sums))
        total = [sum(cost.worker + cost.host for cost in costs) for costs in sums]
        yield _row("to the first", (f"{each / total[0]:.2f}" for each in total))
    yield from ("", *_head("Memory of the worker's processes", ways))
    yield _row("between plays", (f"{way.idle / 2**20:.0f} MiB" for way in ways))
    yield _row("at most, while it plays", (f"{way.peak / 2**20:.0f} MiB" for way in ways))


def _head(title: str, ways: Sequence[Way]) -> Iterator[str]:
    yield _row(title, (way.name for way in ways))
    yield "|---" * (len(ways) + 1) + "|"


def _row(name: str, cells: Iterator[str] | Sequence[str] | map[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("worker", "host", "wall")))


def _cell(costs: Sequence[Cost]) -> str:
    worker, host, wall = (sum(getattr(cost, name) for cost in costs) for name in ("worker", "host", "wall"))
    return f"{worker:.2f} + {host:.2f} = {worker + host:.2f} ({wall:.1f})"


def _machine() -> str:
    ssh = subprocess.run(("ssh", "-V"), capture_output=True, text=True, check=True).stderr.split(",")[0]  # noqa: S607
    versions = f"Python {platform.python_version()}, ansible-core {metadata.version('ansible-core')}, {ssh}"
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {versions}"


def _ways(stack: ExitStack, against: Path | None) -> list[Way]:
    def way(name: str, checkout: Path) -> Way:
        return Way(name, checkout, stack.enter_context(accounts.group(name.split()[0])))

    before = [way("before", against.absolute())] if against else []
    return [*before, way("plain start", TOP), way("nursery", TOP)]


def _measured(stack: ExitStack, chosen: argparse.Namespace) -> Bench:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepmark-plays-")))
    hosts = stack.enter_context(accounts.group("hosts"))
    bench = Bench(_ways(stack, chosen.against), hosts, chosen.user)
    # So is what is started meanwhile; and what hosts say meanwhile is no part of the table.
    with accounts.inside(hosts), redirect_stdout(sys.stderr):
        for way in bench.ways:
            for number in range(chosen.hosts):
                place = folder / f"{way.name.split()[0]}-{number}"
                place.mkdir()
                way.hosts.append(stack.enter_context(running(place, HostKind.LIGHT, chosen.user)))
                way.hosts[-1].shell(STAND_INS)
    for way in bench.ways:
        bench.drivers[way.name] = stack.enter_context(way.driving((chosen.keep or folder) / f"{way.name}.log"))
    for when in ("first", *["again"] * chosen.rounds):
        bench.round(when)
    for way in bench.ways:
        bench.weigh(way)
    return bench


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=2, help="how many each way has")
    parser.add_argument("--rounds", type=int, default=5, help="how often they are configured again")
    parser.add_argument("--user", default="admin", help="who logs in; all but root use sudo")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another version of all this")
    parser.add_argument("--keep", type=Path, help="a folder for what the plays say")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, after its mark")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        table = list(lines(_measured(stack, chosen), chosen.rounds))
    print("\n".join(table))
    if chosen.write:
        text = chosen.write.read_text().partition(MARK)[0]
        chosen.write.write_text("\n".join((f"{text}{MARK}", "", *table, "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
