"""Prefect: a flow of tasks, told to a server. `python -m benchmarks.peer.prefect_program send|work|where …`."""

from __future__ import annotations

import os
import subprocess
import sys

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterState, TaskRunFilterStateType
from prefect.client.schemas.objects import StateType

from benchmarks.kernel import steps

TASKS = [task(steps.work, name=name) for name in steps.names()]


@flow(name="up")
def up() -> None:
    """The steps, in order."""
    for name, each in zip(steps.names(), TASKS, strict=True):
        each(name)


def send(count: int) -> None:
    """Nothing: there is no queue, the processes share the flows among themselves."""


def work(count: int) -> None:
    """Two processes, half of the flows each."""
    if os.environ.get("BENCHMARK_HALF"):
        for _ in range(count):
            up()
        return
    argv = (sys.executable, "-m", "benchmarks.peer.prefect_program", "work", str(max(1, count // 2)))
    half = {**os.environ, "BENCHMARK_HALF": "yes"}
    running = [subprocess.Popen(argv, env=half) for _ in range(min(count, 2))]
    for each in running:
        each.wait()


def where() -> str:
    """What is said of the step that runs."""
    running = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])))
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(task_run_filter=running)
    return ", ".join(f"{run.name.rpartition('-')[0]} {run.state_name}" for run in found)


if __name__ == "__main__":
    steps.main(send, work, where)
