"""What a refusal says of who holds the environment."""

from __future__ import annotations

import pytest

from tests.unit.workers.test_records import HASH
from workers import launch, records


@pytest.mark.parametrize(
    ("seconds", "silent", "advice"),
    [
        (None, 0.0, "`stepmark status web-1` shows it"),
        (None, 1.4, "`stepmark status web-1` shows it"),
        (None, 5.0, "its worker w@host has been silent for 5 s, and counts as lost in 7 s: then try again"),
        (9.0, 5.0, "its worker may still be at work; try again in 9 s"),
    ],
)
def test_a_silent_worker_is_told_of(seconds: float | None, silent: float, advice: str) -> None:
    run = records.run_record(HASH, lease_until=1_027.0, read_at=1_020.0)

    refusal = launch.busy(run, seconds, silent_seconds=silent)

    assert refusal.advice == advice
    assert "environment web-1 is held by run r1 of me@here since 1970-01-01 00:16:40Z" in str(refusal)
