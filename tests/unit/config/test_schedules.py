from __future__ import annotations

from collections.abc import Callable
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


@pytest.mark.parametrize(
    ("part", "path", "message"),
    [
        ("select: all", "", "needs exactly one of `every` (as 6h) and `cron` (as 0 3 * * *)"),
        (
            "select: all, every: 6h, cron: 0 3 * * *",
            "",
            "needs exactly one of `every` (as 6h) and `cron` (as 0 3 * * *)",
        ),
        ("select: all, every: 0h", ".every", "must be an interval as 30m, 6h or 1d12h"),
        ("select: all, every: 30", ".every", "must be text: put it in quotes"),
        (
            "select: all, cron: 0 3 * *",
            ".cron",
            "must be five fields: minute, hour, day, month and day of the week, as `0 3 * * *`",
        ),
        ("select: all, cron: 61 3 * * *", ".cron", "cannot be used: Invalid end range: 61 > 59."),
        ("every: 6h", ".select", "is missing: add it"),
        ("select: everything, every: 6h", ".select", "must be 'all'"),
        ("select: [a], every: 6h", ".select", "must be a mapping (`key: value` lines below it)"),
        ("select: {gropus: [x]}, every: 6h", ".select.gropus", "is not a known key; did you mean `groups`?"),
        ("select: {groups: [x]}, every: 6h", ".select", "no group is called `x`"),
        ("select: {environments: [aa]}, every: 6h", ".select", "no environment is called `aa`; did you mean `a`?"),
        (
            "select: all, every: 6h, when: now",
            ".when",
            "is not a known key; known: cron, every, name, select, workflow",
        ),
    ],
)
def test_what_is_said(
    problems: Callable[[str], list[tuple[int, int, str, str]]], part: str, path: str, message: str
) -> None:
    good = "{name: a, provider: {name: existing, address: b}, ssh: {key: env:KEY}}"
    text = f"environments: [{good}]\nschedules:\n- {{name: s, workflow: up, {part}}}\n"

    ((line, _, found, said),) = problems(text)

    assert (line, found, said) == (3, f"schedules[0]{path}", message)
