"""What is read of a run."""

from __future__ import annotations

import json

import pytest

from tasks.failure import CompletedStep, RunStatus, TrackedStep
from workers import records

HASH = {
    "run": "r1",
    "token": "t",
    "epoch": "2",
    "delivery": "2",
    "environment": "web-1",
    "workflow": "configure",
    "names": json.dumps(["install-docker", "install-docker-compose"]),
    "queues": json.dumps(["tools", "tools"]),
    "total": "2",
    "status": "running",
    "index": "2",
    "step": "install-docker-compose",
    "attempt": "1",
    "execution": "r1.2.2.1",
    "worker": "w@host",
    "step_started_at": "1010.5",
    "created_at": "1000.000000",
    "started_at": "",
    "user": "me@here",
    "trigger": "cli",
    "next": "",
    "failure": "",
    "partial": "1",
    "ended:1": json.dumps(
        {
            "step": "install-docker",
            "index": 1,
            "ending": "not-possible",
            "seconds": 0.1,
            "attempt": 1,
            "note": "no systemd",
        }
    ),
}


@pytest.mark.parametrize(
    ("status", "lease", "shown"),
    [
        ("running", 1_021.0, RunStatus.RUNNING),
        ("running", 1_019.0, RunStatus.LOST),
        ("running", None, RunStatus.LOST),
        ("queued", None, RunStatus.QUEUED),
        ("failed", None, RunStatus.FAILED),
    ],
)
def test_a_running_run_without_a_good_lease_is_lost(status: str, lease: float | None, shown: RunStatus) -> None:
    found = records.run_record({**HASH, "status": status}, lease_until=lease, read_at=1_020.0)

    assert found.display is shown
    assert found.live is (status in ("running", "queued"))


def test_the_tracked_step() -> None:
    found = records.run_record(HASH, lease_until=1_021.0, read_at=1_020.0)

    assert found.partial
    assert found.tracked() == TrackedStep(
        environment="web-1",
        workflow="configure",
        run="r1",
        epoch=2,
        step="install-docker-compose",
        index=2,
        total=2,
        attempt=1,
        worker="w@host",
        run_started_at=1_000.0,
        step_started_at=1_010.5,
        completed=(
            CompletedStep(
                step="install-docker", index=1, ending="not-possible", seconds=0.1, attempt=1, note="no systemd"
            ),
        ),
    )


def test_the_mark_of_drift_is_read() -> None:
    mark = {
        "since": 1_000.5,
        "at": 1_010.5,
        "run": "r2",
        "add": 1,
        "change": 0,
        "destroy": 0,
        "summary": "host: create",
    }
    kept = {"name": "web-1", "state": "configured", "revision": "1", "created_at": "1", "updated_at": "2", "spec": "{}"}

    found = records.EnvironmentRecord.model_validate({**kept, "checked_at": "1010.5", "drift": json.dumps(mark)})

    assert (found.checked_at, found.drift) == (1_010.5, records.DriftMark(**mark))
    assert records.EnvironmentRecord.model_validate({**kept, "drift": ""}).drift is None


@pytest.mark.parametrize(
    ("status", "lease", "silent"),
    [("running", 1_031.5, 0.5), ("running", 1_027.0, 5.0), ("running", 1_033.0, 0.0), ("queued", None, 0.0)],
)
def test_a_worker_is_silent_since_it_last_renewed_its_lease(status: str, lease: float | None, silent: float) -> None:
    found = records.run_record({**HASH, "status": status}, lease_until=lease, read_at=1_020.0)

    assert found.silent_seconds(12.0) == silent
