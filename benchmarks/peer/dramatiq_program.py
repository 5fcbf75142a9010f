"""Dramatiq: a pipeline of messages. `python -m benchmarks.peer.dramatiq_program send|work|where …`."""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.kernel import steps

dramatiq.set_broker(RedisBroker(url=os.environ["BENCHMARK_REDIS_URL"]))


@dramatiq.actor(actor_name="step")
def step(name: str) -> None:
    """One step."""
    steps.work(name)


def send(count: int) -> None:
    """Enqueue `count` pipelines."""
    for _ in range(count):
        dramatiq.pipeline([step.message_with_options(args=(name,), pipe_ignore=True) for name in steps.names()]).run()


def work(count: int) -> None:  # noqa: ARG001 - as all of them
    """Two processes, one thread each."""
    program = (
        sys.executable,
        "-m",
        "dramatiq",
        "benchmarks.peer.dramatiq_program",
        "--processes",
        "2",
        "--threads",
        "1",
    )
    os.execv(sys.executable, program)  # noqa: S606


def where() -> str:
    """There is nobody to ask: a pipeline counts its results, if they are kept, and knows of no running message."""
    return ""


if __name__ == "__main__":
    steps.main(send, work, where)
