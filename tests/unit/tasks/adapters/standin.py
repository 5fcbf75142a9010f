"""A worker's stand-in: runs one program and feeds its lifeline.

Arguments: MARK, the seconds that the lease is good for, ARGV… The nursery runs what is `ansible-playbook`, with our
ANSIBLE_* variables.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from tasks import errors
from tasks.adapters import process


def main(mark: str, seconds: float, argv: tuple[str, ...]) -> None:
    lifeline = process.Lifeline()
    lifeline.feed(seconds)

    def feed() -> None:
        while True:
            time.sleep(seconds / 5)
            lifeline.feed(seconds)

    threading.Thread(target=feed, daemon=True).start()
    session = process.Session(time.monotonic() + 60, lambda _: None, process.Redactor(), lifeline, grace_seconds=0.3)
    try:
        env = {name: value for name, value in os.environ.items() if name.startswith("ANSIBLE_")}
        loaded = Path(argv[0]).name == "ansible-playbook"
        done = process.run(process.Command(argv, Path("/"), env={**env, "MARK": mark}, loaded=loaded), session)
        print(done.exit_status, flush=True)
    except errors.StepmarkError as error:
        print(type(error).__name__, error, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), tuple(sys.argv[3:]))
