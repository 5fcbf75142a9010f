"""How long nobody fires when the active beat is killed, at the default settings: `python benchmarks/beat.py`."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from config.schedules import Schedule
from config.settings import Settings
from tests.faults import server
from tests.support import poll
from workers import crew, runtime
from workers.runtime import Base
from workers.schedule import Schedules


def main() -> int:
    """Kill the active beat again and again, and print how long it took another one to take over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--term", action="store_true", help="tell it to end, in place of killing it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepmark-beat-") as folder, server.running(Path(folder)) as redis_server:
        os.environ["STEPMARK_REDIS_URL"] = redis_server.url
        base = runtime.base(Settings())
        every_second = Schedule(name="probe", workflow="retention", every="1s")
        Schedules(base.client, base.keys).apply(every_second, (), "benchmark", base.now())
        number = signal.SIGTERM if asked.term else signal.SIGKILL
        seconds = _takeovers(base, asked.rounds, number)
    print(f"lock {Settings().beat_lock_seconds:g} s, {number.name}, {len(seconds)} rounds, until another beat fires:")
    print(f"median {statistics.median(seconds):.1f} s, least {min(seconds):.1f} s, most {max(seconds):.1f} s")
    return 0


def _takeovers(base: Base, rounds: int, number: signal.Signals) -> list[float]:
    beats = [_start(), _start()]
    kept, found = Schedules(base.client, base.keys), []
    try:
        for _ in range(rounds):
            active = poll(lambda: next((each for each in beats if (kept.beat() or "").endswith(f"/{each.pid}")), None))
            poll(lambda: base.client.zcard(base.keys.firings()))
            active.send_signal(number)
            active.wait(30)
            began, before = time.monotonic(), set(base.client.zrange(base.keys.firings(), 0, -1))
            beats[beats.index(active)] = _start()
            poll(lambda before=before: set(base.client.zrange(base.keys.firings(), 0, -1)) - before, every=0.02)
            found.append(time.monotonic() - began)
    finally:
        for each in beats:
            each.kill()
            each.wait(30)
    return found


def _start() -> subprocess.Popen[bytes]:
    argv = crew.commands({}, beat=True)["beat"]
    return subprocess.Popen(argv, env=crew.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
