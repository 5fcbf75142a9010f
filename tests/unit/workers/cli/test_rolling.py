from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workers.cli.test_policywords import rollout
from workers.cli import rolling
from workers.cli.reports import Exit
from workers.rolloutrecord import RolloutStatus

OVER = {"total": 3, "started": 3, "ended": 3, "succeeded": 3, "ended_at": 9.0, "status": RolloutStatus.SUCCEEDED}


def test_what_a_cancelled_rollout_never_started_is_counted() -> None:
    some = {"started": 1, "ended": 1, "succeeded": 1, "left_out": 1, "status": RolloutStatus.CANCELLED}

    assert rolling.summary(rollout(**{**OVER, **some, "total": 5})).endswith("[yellow]3 never started[/]")
    assert "never started" not in rolling.summary(rollout(**OVER))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Exit.OK),
        ({"drifted": 1}, Exit.DRIFTED),
        ({"drifted": 1, "succeeded": 2, "failed": 1}, Exit.PARTLY),
        ({"succeeded": 0, "started": 0, "ended": 0, "left_out": 3}, Exit.REFUSED),
        ({"succeeded": 0, "failed": 3}, Exit.FAILED),
    ],
)
def test_exit_status(changes: dict[str, Any], status: Exit) -> None:
    assert rolling.exit_status(rollout(**{**OVER, **changes})) is status
