"""What `stepmark worker` makes of its words."""

from __future__ import annotations

import socket

import pytest

from tasks.workflows.model import Queue
from workers.cli import worker

HOST = socket.gethostname()


@pytest.mark.parametrize(
    ("queues", "given", "names"),
    [
        ([Queue.TOOLS, Queue.WAIT], [], [f"tools@{HOST}", f"wait@{HOST}"]),
        ([Queue.WAIT], ["-c", "400", "-n", "mine@here"], ["mine@here"]),
        ([Queue.WAIT], ["--hostname=mine@%h", "-c", "4"], [f"mine@{HOST}"]),
        ([Queue.WAIT], ["--hostname", "mine"], ["celery@mine"]),
    ],
)
def test_the_names_are_those_that_celery_gives(queues: list[Queue], given: list[str], names: list[str]) -> None:
    assert worker._worker_names(queues, given) == names
