from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import schedules as celery_schedules
from pydantic import ValidationError

from config.schedules import Schedule, Selection


def schedule(**changes: Any) -> Schedule:
    return Schedule.model_validate({"name": "nightly", "workflow": "configure", "select": "all", **changes})


@pytest.mark.parametrize(
    ("every", "interval"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("6h", timedelta(hours=6)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_every(every: str, interval: timedelta) -> None:
    assert schedule(every=every).trigger == celery_schedules.schedule(interval)


@pytest.mark.parametrize("every", ["", "6", "h", "0h", "0d0s", "6 h", "-6h", "1.5h", "6h1d", "6h ", "6w", "99999h"])
def test_no_interval(every: str) -> None:
    with pytest.raises(ValidationError):
        schedule(every=every)


@pytest.mark.parametrize(
    ("cron", "minutes_hours_days_months_weekdays"),
    [
        ("0 3 * * *", ({0}, {3}, {*range(1, 32)}, {*range(1, 13)}, {*range(7)})),
        ("*/20 1-3 1,15 jan mon-fri", ({0, 20, 40}, {1, 2, 3}, {1, 15}, {1}, {1, 2, 3, 4, 5})),
        ("0  0 29 2 0", ({0}, {0}, {29}, {2}, {0})),
    ],
)
def test_cron(cron: str, minutes_hours_days_months_weekdays: tuple[set[int], ...]) -> None:
    trigger = schedule(cron=cron).trigger

    assert isinstance(trigger, celery_schedules.crontab)
    found = (trigger.minute, trigger.hour, trigger.day_of_month, trigger.month_of_year, trigger.day_of_week)
    assert found == minutes_hours_days_months_weekdays


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "1-5x! * * * *",
        "a * * * *",
        "0 0 31 2 *",
        "@daily",
        "0 3 * * *\n",
        "1,, * * * *",
        "-1 * * * *",
        "*/ * * * *",
    ],
)
def test_no_cron(cron: str) -> None:
    with pytest.raises(ValidationError):
        schedule(cron=cron)


def test_selection() -> None:
    web = schedule(every="6h", select={"groups": ["web"]})

    assert schedule(every="6h").selection == Selection()
    assert web.selection == Selection(groups=("web",))
    assert Schedule.model_validate_json(web.model_dump_json()) == web
