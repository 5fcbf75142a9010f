"""Stepmark itself, with empty steps. `python -m benchmarks.peer.stepmark_program send|work|where …`."""

from __future__ import annotations

import os
import sys

from benchmarks.kernel import sender, steps
from config import settings
from workers import runtime


def send(count: int) -> None:
    """Launch `up` on `count` environments."""
    sender.main("emptied", "host", count)


def work(count: int) -> None:  # noqa: ARG001 - as all of them
    """A worker with two processes."""
    program = (sys.executable, "-m", "celery", "-A", "benchmarks.kernel.emptied", "worker", "-Q", "wait,tools")
    os.execv(sys.executable, (*program, "-P", "prefork", "-c", "2", "-l", "INFO"))  # noqa: S606


def where() -> str:
    """What is said of the step that runs, as `stepmark status` says it."""
    store = runtime.base(settings.load()).store
    found = store.runs(record.run for record in store.environments() if record.run).values()
    return ", ".join(f"{run.step} {run.display.value}" for run in found)


if __name__ == "__main__":
    steps.main(send, work, where)
