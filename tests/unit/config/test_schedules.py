from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from config.schedules import Schedule, Selection
from config.timetable import Timetable


def schedule(**changes: Any) -> Schedule:
    return Schedule.model_validate({"name": "nightly", "workflow": "configure", "select": "all", **changes})


@pytest.mark.parametrize(
    ("every", "interval"),
    [
        ("90s", 90),
        ("30m", 30 * 60),
        ("6h", 6 * 3600),
        ("1d12h", 36 * 3600),
        ("1d2h3m4s", 86400 + 2 * 3600 + 3 * 60 + 4),
    ],
)
def test_every(every: str, interval: int) -> None:
    found = schedule(every=every, jitter="1s")

    assert found.timetable(5.0) == Timetable(name="nightly", interval_seconds=interval, jitter_seconds=1, since=5.0)
    assert found.when == f"every {every}, jitter 1s"


@pytest.mark.parametrize("every", ["", "6", "h", "0h", "0d0s", "6 h", "-6h", "1.5h", "6h1d", "6h ", "6w", "99999h"])
def test_no_interval(every: str) -> None:
    with pytest.raises(ValidationError):
        schedule(every=every)


@pytest.mark.parametrize(
    ("timezone", "zone"),
    [(None, "UTC"), ("UTC", "UTC"), ("Europe/Berlin", "Europe/Berlin"), ("Etc/GMT+3", "Etc/GMT+3")],
)
def test_cron(timezone: str | None, zone: str) -> None:
    found = schedule(cron="0 3 * * mon", timezone=timezone)

    assert found.timetable(5.0) == Timetable(name="nightly", cron="0 3 * * mon", timezone=zone, since=5.0)
    assert found.when == f"0 3 * * mon {zone}"


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
    ("changes", "late_seconds"),
    [({}, 0), ({"missed": "run-once"}, 86400), ({"missed": "run-once", "missed_limit": "2h"}, 7200)],
)
def test_how_late_a_missed_time_is_made_up_for(changes: dict[str, str], late_seconds: int) -> None:
    assert schedule(every="6h", **changes).late_seconds == late_seconds


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
        ("select: everything, every: 6h", ".select", "must be 'all'"),
        ("select: [a], every: 6h", ".select", "must be a mapping (`key: value` lines below it)"),
        ("select: {gropus: [x]}, every: 6h", ".select.gropus", "is not a known key; did you mean `groups`?"),
        ("select: {groups: [x]}, every: 6h", ".select", "no group is called `x`"),
        ("select: {environments: [aa]}, every: 6h", ".select", "no environment is called `aa`; did you mean `a`?"),
        (
            "select: all, every: 6h, when: now",
            ".when",
            "is not a known key; known: cron, every, jitter, missed, missed_limit, name, overlap, select, timezone, "
            "workflow",
        ),
        ("select: all, every: 6h, overlap: wait", ".overlap", "must be 'skip', 'queue' or 'allow'"),
        ("select: all, every: 6h, missed: run", ".missed", "must be 'skip' or 'run-once'"),
        ("select: all, every: 6h, jitter: 0s", ".jitter", "must be an interval as 30m, 6h or 1d12h"),
        ("select: all, every: 6h, jitter: 6h", "", "needs a `jitter` that is shorter than `every`"),
        (
            "select: all, every: 6h, missed_limit: 1h",
            "",
            "has a `missed_limit`, which is of use with `missed: run-once` only",
        ),
        ("select: all, every: 6h, timezone: UTC", "", "has a `timezone`, which is of use with `cron` only"),
        (
            "select: all, cron: 0 3 * * *, timezone: Europe/Berln",
            ".timezone",
            "is no time zone; did you mean `Europe/Berlin`?",
        ),
        (
            "select: all, cron: 0 3 * * *, timezone: ../x",
            ".timezone",
            "is no time zone, as Europe/Berlin or UTC",
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
