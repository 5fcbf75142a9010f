"""An entry of RedBeat's, as we write and read it; what it does with Redis is in the integration tests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from celery import Celery
from redbeat.schedulers import RedBeatSchedulerEntry

from workers import schedule
from workers.beat import DueEntry, Times

HOUR = 3600.0


@pytest.fixture
def app() -> Celery:
    """With the settings that RedBeat asks for."""
    made = Celery("stepmark", set_as_current=False)
    made.conf.update(redbeat_redis_url="redis://127.0.0.1:1/0", redbeat_redis_options={})
    return made


def entry(app: Celery, last: float, *, enabled: bool = True) -> DueEntry:
    """An hourly one, whose times are the full hours."""
    times = Times({"name": "often", "interval_seconds": 3600})
    at = datetime.fromtimestamp(last, UTC)
    return DueEntry(name="often", task="x", schedule=times, last_run_at=at, enabled=enabled, app=app)


def test_redbeat_reads_what_we_write() -> None:
    at = 1764066000.125

    assert RedBeatSchedulerEntry.decode_meta(schedule.meta(at)) == {"last_run_at": datetime.fromtimestamp(at, UTC)}


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (9 * HOUR, 9 * HOUR, None),
        (9 * HOUR, 10 * HOUR - 1, None),
        (9 * HOUR, 10 * HOUR, 10 * HOUR),
        (9 * HOUR, 99.5 * HOUR, 99 * HOUR),
        (9 * HOUR, 8 * HOUR, None),
    ],
)
def test_the_time_that_is_due(app: Celery, last: float, now: float, due: float | None) -> None:
    assert entry(app, last).time_due(now) == due
    assert entry(app, last, enabled=False).time_due(now) is None


@pytest.mark.parametrize(("last", "enabled", "due"), [(0.0, True, True), (0.0, False, False), (1e10, True, False)])
def test_redbeat_is_told_when_to_look_again(app: Celery, last: float, enabled: bool, due: bool) -> None:
    found, seconds = entry(app, last, enabled=enabled).is_due()

    assert found is due
    assert seconds <= HOUR or last > 0


def test_an_entry_whose_past_was_lost_begins_where_it_was_applied(app: Celery) -> None:
    found = entry(app, 5 * HOUR)
    found.last_run_at = None

    assert found.last == 0.0
