"""How soon it is seen: `python benchmarks/see.py --write docs/benchmarks/see.md`, in four to eight minutes.

`stepmark status` of fleets of several sizes, and the time from what happens at a worker to the operator's screen.
What goes on is said on standard error.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pydantic import SecretStr

from benchmarks.seeing import delays, looks
from benchmarks.seeing.delays import Load, Site
from benchmarks.seeing.looks import Fleet
from config.settings import Settings
from tests.faults import server
from workers import crypto, runtime
from workers.celery import app
from workers.runtime import Base

MARK = "<!-- What follows is written by benchmarks/see.py. -->"
COUNTS = (10, 100, 1_000, 10_000)
LOADS = {"idle": Load(10, 0.4, 5), "load": Load(1_500, 0.0, 100)}


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, action="append", help="a size of fleet; again for more")
    parser.add_argument("--times", type=int, default=7, help="how often a fleet is looked at in each way")
    parser.add_argument("--rounds", type=int, default=3, help="how often delays are measured, all taken together")
    parser.add_argument("--only", choices=("looks", "delays"), help="only this half")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, after its mark")
    asked = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    with tempfile.TemporaryDirectory(prefix="stepmark-see-") as folder:
        text = "\n".join(_measured(Path(folder), asked))
    print(text)
    if asked.write:
        asked.write.write_text(f"{asked.write.read_text().partition(MARK)[0]}{MARK}\n\n{text}\n")
    return 0


def _measured(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    program = Path(sys.executable).with_name("stepmark")
    with server.running(folder / "redis", appendfsync="everysec") as redis_server:
        variables = {
            "STEPMARK_REDIS_URL": redis_server.url,
            "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
            "STEPMARK_DATA_DIR": str(folder / "data"),
            "HCLOUD_TOKEN": "none",
            "SSH_KEY": "none",
        }
        os.environ |= variables
        crypto.create(folder / "encryption.key")
        app.conf.broker_url = redis_server.url
        base = runtime.base(Settings(redis_url=SecretStr(redis_server.url)))
        yield from _machine(base)
        if asked.only != "delays":
            counts = asked.count or COUNTS
            yield from _looks([_look(base, program, variables, count, asked.times) for count in counts])
        if asked.only != "looks":
            site = Site(folder, base, program, variables)
            yield from _delays({what: _waited(site, what, asked.rounds) for what in _CASES})


_CASES: Mapping[str, tuple[str, bool]] = {
    "a line in a file, idle": ("idle", False),
    "a line in a file, under load": ("load", False),
    "a row on a terminal, idle": ("idle", True),
    "a row on a terminal, under load": ("load", True),
}


def _look(base: Base, program: Path, variables: Mapping[str, str], count: int, times: int) -> Fleet:
    _say(f"status of {count} environments")
    found = looks.measure(base, program, variables, count, times)
    _say(f"  {found}")
    return found


def _waited(site: Site, what: str, rounds: int) -> list[float]:
    load, terminal = _CASES[what]
    found: list[float] = []
    for _ in range(rounds):
        _say(f"from the worker to {what}")
        found += delays.measure(site, LOADS[load], terminal=terminal)
    _say(f"  {len(found)} events, " + ", ".join(f"{each * 1000:.0f} ms" for each in _cuts(found)))
    return found


def _machine(base: Base) -> Iterator[str]:
    cores, python = os.cpu_count(), platform.python_version()
    versions = ", ".join(f"{name} {version(name)}" for name in ("redis", "celery", "pydantic", "typer"))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    yield f"{time.strftime('%Y-%m-%d')}; {cores} cores, {platform.machine()}; load when it began {load}."
    redis_version = base.client.info("server")["redis_version"]
    yield f"Python {python}, Redis {redis_version} (append-only file, everysec); {versions}."


def _looks(fleets: Sequence[Fleet]) -> Iterator[str]:
    ways = list(looks.WAYS)
    yield "\n## A look at a fleet\n"
    yield "The whole process, from its start to its end; medians. In brackets: of the processor.\n"
    yield f"| environments | {' | '.join(f'`status {way}`' if way != 'text' else '`status`' for way in ways)} |" + (
        " Redis serves nobody else for | in Redis, an environment | of that its row |"
    )
    yield "|---:" * (len(ways) + 4) + "|"
    for fleet in fleets:
        cells = [f"{fleet.seconds[way] * 1000:.0f} ms ({fleet.processor_seconds[way] * 1000:.0f})" for way in ways]
        sizes = f"{fleet.all_bytes / 1000:.1f} kB | {fleet.row_bytes:.0f} B"
        yield f"| {fleet.count} | {' | '.join(cells)} | {fleet.blocked_seconds * 1000:.1f} ms | {sizes} |"


def _delays(waited: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield "\n## From the worker to the screen\n"
    yield "| what is seen | events | p50 | p99 | latest |"
    yield "|---|---:|---:|---:|---:|"
    for what, found in waited.items():
        cells = " | ".join(f"{each * 1000:.0f} ms" for each in _cuts(found))
        yield f"| {what} | {len(found)} | {cells} |"


def _cuts(found: Sequence[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and latest."""
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98], max(found)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
