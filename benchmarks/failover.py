"""The master of a Redis behind Sentinels is killed under load: `python benchmarks/failover.py --times 3`.

Said of each time: when the Sentinels had put the replica in its place, when the first step was recorded there, how many
steps ran twice, and how the runs ended. Exit status 1: a run did not end well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tasks.failure import RunStatus
from tests.integration import installation, sentinels
from tests.integration.installation import Installation
from tests.integration.sentinels import DOWN_SECONDS, Watched
from tests.support import poll


def main() -> int:
    """Kill it, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=3, help="how often, each time with new servers")
    parser.add_argument(
        "--hosts", type=int, default=30, help="how many runs of register, three steps each, at two slots"
    )
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a step takes")
    asked = parser.parse_args()
    print(f"Sentinels take a master for dead after {DOWN_SECONDS:g} s; leases of 3 s", flush=True)
    return max(_once(asked.hosts, asked.seconds) for _ in range(asked.times))


def _once(hosts: int, seconds: float) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="stepmark-failover-") as folder,
        sentinels.running(Path(folder) / "redis") as watched,
        installation.made(Path(folder) / "site", **watched.variables(Path(folder) / "secrets")) as site,
    ):
        site.worker()
        fleet = site.fleet(**{f"web_{number}": {"seconds": str(seconds)} for number in range(hosts)})
        site.stepmark("register", fleet, "--max-parallel", str(hosts), "--detach")
        poll(lambda: len(site.steps) >= hosts)  # a third of them
        return _report(site, watched, hosts)


def _report(site: Installation, watched: Watched, hosts: int) -> int:
    killed_at = time.time()
    watched.servers[0].kill()
    poll(watched.promoted, seconds=60, every=0.02)
    promoted = time.time() - killed_at
    records = site.ended(hosts, seconds=180)
    times = [float(event["at"]) for record in records for event in site.base.store.events(record.run)]
    first = min(at for at in times if at > killed_at) - killed_at
    endings = Counter(record.status.value for record in records)
    twice = len(site.steps) - len(set(site.steps))
    said = f"promoted after {promoted:.1f} s, first step after {first:.1f} s, {twice} steps twice, {dict(endings)}"
    print(said, flush=True)
    return 0 if endings.keys() == {RunStatus.SUCCEEDED.value} else 1


if __name__ == "__main__":
    sys.exit(main())
