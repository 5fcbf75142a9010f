"""Times and states in words."""

from __future__ import annotations

import pytest

from tasks.failure import RunStatus
from tests.unit.workers.cli.test_outcomes import run
from workers.cli import words


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({"started_at": 130.0, "begun_at": 150.0}, 130.0),  # resumed since
        ({"started_at": None, "begun_at": 120.0}, 120.0),
        ({"started_at": None}, 100.0),
    ],
)
def test_when_a_run_began(times: dict[str, object], at: float) -> None:
    assert words.began(run(**times)) == at  # type: ignore[arg-type]


def test_how_long_it_has_been_queued_may_stand_beside_it() -> None:
    queued = run(RunStatus.QUEUED, due_at=140.0)

    assert (words.status(queued), words.status(queued, timed=False)) == ("queued 1m", "queued")
