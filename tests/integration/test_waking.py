"""A pool of threads that was full takes its next message as soon as a thread is free."""

from __future__ import annotations

import pytest

from tasks.failure import RunStatus
from tests.integration.conftest import StartWorker, request, spec
from tests.support import poll
from workers.launch import Launcher
from workers.registry import Registry
from workers.runtime import Base

RUNS = 20


@pytest.mark.parametrize("cut", [False, True], ids=["", "over a new connection"])
def test_a_thread_that_becomes_free_wakes_its_worker(
    base: Base, launcher: Launcher, start_worker: StartWorker, cut: bool
) -> None:
    """Nothing else does, where nobody asks for events: each step would take a second, and all of them twice as long."""
    start_worker("-P", "threads", "-c", "1")
    poll(lambda: Registry(base.client, base.keys).workers())
    if cut:
        for kind in ("normal", "pubsub"):
            base.client.client_kill_filter(_type=kind, skipme=True)

    names = [f"web-{number}" for number in range(RUNS)]
    launched = [launcher.launch(request(spec(name, idle="yes"), "register")).run for name in names]

    poll(lambda: not base.client.zcard(base.keys.due()) and not base.client.zcard(base.keys.leases()), seconds=30)
    assert {run.status for run in base.store.runs(launched).values()} == {RunStatus.SUCCEEDED}
