"""A bare chain in Celery, results kept. `python -m benchmarks.peer.celery_program send|work|where …`."""

from __future__ import annotations

import os
import sys

from celery.result import AsyncResult

from benchmarks.kernel import bare, sender, steps
from config import settings
from workers import connection


def send(count: int) -> None:
    """Send `count` chains."""
    sender.main("bare", "host", count)


def work(count: int) -> None:  # noqa: ARG001 - as all of them
    """A worker with two processes."""
    program = (sys.executable, "-m", "celery", "-A", "benchmarks.kernel.bare", "worker")
    os.execv(sys.executable, (*program, "-P", "prefork", "-c", "2", "-l", "INFO"))  # noqa: S606


def where() -> str:
    """What the result backend says is going on: by default it hears of a task when that has ended."""
    found = connection.connect(settings.load()).keys("celery-task-meta-*")
    states = [AsyncResult(key.removeprefix("celery-task-meta-"), app=bare.app).state for key in found]
    return ", ".join(state for state in states if state not in ("SUCCESS", "FAILURE"))


if __name__ == "__main__":
    steps.main(send, work, where)
