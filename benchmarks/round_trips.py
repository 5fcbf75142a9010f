"""What a step costs in commands of Redis, by who sends them: `python benchmarks/round_trips.py --runs 20`.

A real worker, and steps that do nothing or, with --busy, write a file, print a line and learn something. Two tables: a
step with its share of all that goes on beside it, and what a worker asks in a second in which nothing runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import server
from tests.integration import installation, monitor
from tests.integration.installation import Installation
from tests.integration.monitor import Command

IDLE_SECONDS = 20


def main() -> int:
    """Count, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of register, three steps each")
    parser.add_argument("--busy", action="store_true", help="steps that write, print and learn")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepmark-trips-") as folder, _site(Path(folder)) as site:
        labels: dict[str, str] = {} if asked.busy else {"idle": "yes"}
        _run(site, labels, 1, "warm")
        with monitor.listening(site.variables["STEPMARK_REDIS_URL"]) as heard:
            began = time.monotonic()
            steps = _run(site, labels, asked.runs, "web")
            seconds = time.monotonic() - began
        _print(f"{steps} steps in {seconds:.1f} s; commands a step", heard.of("start"), heard.commands, steps)
        with monitor.listening(site.variables["STEPMARK_REDIS_URL"]) as heard:
            time.sleep(IDLE_SECONDS)
        _print("nothing runs; commands a second", [], heard.commands, IDLE_SECONDS)
    return 0


@contextmanager
def _site(folder: Path) -> Iterator[Installation]:
    variables = {"STEPMARK_LEASE_SECONDS": "12", "STEPMARK_GRACE_SECONDS": "5"}
    with (
        server.running(folder / "redis") as redis_server,
        installation.made(folder / "site", STEPMARK_REDIS_URL=redis_server.url, **variables) as site,
    ):
        os.environ |= site.variables
        site.worker()
        yield site


def _run(site: Installation, labels: dict[str, str], count: int, name: str) -> int:
    fleet = site.fleet(**{f"{name}_{number}": labels for number in range(count)})
    site.stepmark("register", fleet, "--max-parallel", str(count), "--detach")
    known = len(site.base.store.environments())
    return sum(run.total for run in site.ended(known) if run.environment.startswith(name))


def _print(title: str, ours: list[Command], all_of_them: list[Command], per: float) -> None:
    print(f"\n{title}\n")
    steps = {command.by for command in ours}
    for who, chosen in (
        ("the step's own connection", [command for command in all_of_them if command.by in steps]),
        ("all others", [command for command in all_of_them if command.by not in steps]),
    ):
        found = Counter(command.name for command in chosen)
        words = ", ".join(f"{name} {count / per:.2f}" for name, count in found.most_common() if count / per >= 0.005)
        print(f"{who:<26} {len(chosen) / per:6.2f}   {words}")


if __name__ == "__main__":
    sys.exit(main())
