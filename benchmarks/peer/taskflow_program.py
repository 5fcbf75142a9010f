"""TaskFlow: a linear flow with persistence. `python -m benchmarks.peer.taskflow_program send|work|where …`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from taskflow import engines, task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends
from taskflow.persistence.models import FlowDetail, LogBook
from taskflow.states import RUNNING

from benchmarks.kernel import steps


class Step(task.Task):
    """One step."""

    def execute(self) -> None:
        """Do its work."""
        steps.work(self.name)


def _backend() -> object:
    url = os.environ["BENCHMARK_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")
    return backends.fetch({"connection": url})


def _flow() -> linear_flow.Flow:
    return linear_flow.Flow("up").add(*map(Step, steps.names()))


def send(count: int) -> None:  # noqa: ARG001 - there is no queue: the processes share the flows among themselves
    """Make the tables."""
    with contextlib.closing(_backend().get_connection()) as connection:
        connection.upgrade()


def work(count: int) -> None:
    """Two processes, half of the flows each."""
    if os.environ.get("BENCHMARK_HALF"):
        _run(count)
        return
    argv = (sys.executable, "-m", "benchmarks.peer.taskflow_program", "work", str(max(1, count // 2)))
    half = {**os.environ, "BENCHMARK_HALF": "yes"}
    running = [subprocess.Popen(argv, env=half) for _ in range(min(count, 2))]
    for each in running:
        each.wait()


def _run(count: int) -> None:
    backend = _backend()
    for number in range(count):
        book = LogBook(f"host-{os.getpid()}-{number}")
        flow = _flow()
        detail = FlowDetail(flow.name, f"{os.getpid()}-{number}")
        book.add(detail)
        with contextlib.closing(backend.get_connection()) as connection:
            connection.save_logbook(book)
        engines.load(flow, flow_detail=detail, book=book, backend=backend, engine="serial").run()


def where() -> str:
    """What is said of the step that runs."""
    with contextlib.closing(_backend().get_connection()) as connection:
        atoms = [atom for book in connection.get_logbooks() for flow in book for atom in flow]
    return ", ".join(f"{atom.name} {atom.state}" for atom in atoms if atom.state == RUNNING)


if __name__ == "__main__":
    steps.main(send, work, where)
