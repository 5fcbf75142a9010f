"""RQ: a job a step, each depends on the one before. `python -m benchmarks.peer.rq_program send|work|where …`."""

from __future__ import annotations

import os
import sys

from redis import Redis
from rq import Queue
from rq.registry import StartedJobRegistry

from benchmarks.kernel import steps


def send(count: int) -> None:
    """Enqueue `count` workflows."""
    queue = Queue(connection=Redis.from_url(os.environ["BENCHMARK_REDIS_URL"]))
    for number in range(count):
        before = None
        for name in steps.names():
            before = queue.enqueue(steps.work, name, depends_on=before, meta={"workflow": f"host-{number}"})


def work(count: int) -> None:  # noqa: ARG001 - as all of them
    """Two workers, as the manual starts a pool of them."""
    pool = (sys.executable, "-m", "rq.cli", "worker-pool", "--num-workers", "2")
    os.execv(sys.executable, (*pool, "--url", os.environ["BENCHMARK_REDIS_URL"]))  # noqa: S606


def where() -> str:
    """What is said of the step that runs."""
    queue = Queue(connection=Redis.from_url(os.environ["BENCHMARK_REDIS_URL"]))
    jobs = [queue.fetch_job(name.partition(":")[0]) for name in StartedJobRegistry(queue=queue).get_job_ids()]
    return ", ".join(f"{job.args[0]} {job.get_status().value}" for job in jobs if job)


if __name__ == "__main__":
    steps.main(send, work, where)
