from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cron import Cron, crontab

BERLIN = "Europe/Berlin"


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def times(cron: str, zone: str, start: str, count: int) -> list[str]:
    """The next times after a moment of UTC, as the clock of the zone shows them, with its offset in hours."""
    found, at = [], utc(start)
    for _ in range(count):
        at = Cron(cron, zone).after(at)
        shown = datetime.fromtimestamp(at, ZoneInfo(zone))
        offset = shown.utcoffset()
        assert offset is not None
        found.append(f"{shown:%d %H:%M} {offset / timedelta(hours=1):+g}")
    return found


@pytest.mark.parametrize(
    ("cron", "minutes_hours_days_months_weekdays"),
    [
        ("0 3 * * *", ({0}, {3}, {*range(1, 32)}, {*range(1, 13)}, {*range(7)})),
        ("*/20 1-3 1,15 jan mon-fri", ({0, 20, 40}, {1, 2, 3}, {1, 15}, {1}, {1, 2, 3, 4, 5})),
        ("0  0 29 2 0", ({0}, {0}, {29}, {2}, {0})),
    ],
)
def test_fields(cron: str, minutes_hours_days_months_weekdays: tuple[set[int], ...]) -> None:
    fields = crontab(cron)

    found = (fields.minute, fields.hour, fields.day_of_month, fields.month_of_year, fields.day_of_week)
    assert found == minutes_hours_days_months_weekdays


@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        ("0 3 * * *", "2026-01-01 00:00", ["01 03:00 +0", "02 03:00 +0", "03 03:00 +0"]),
        ("0 3 * * *", "2026-01-01 03:00", ["02 03:00 +0"]),
        ("0 3 * * *", "2026-01-01 02:59:59.5", ["01 03:00 +0"]),
        ("30 9 * * mon-fri", "2026-01-02 12:00", ["05 09:30 +0", "06 09:30 +0"]),
        ("0 0 13 * 5", "2026-01-01 00:00", ["13 00:00 +0", "13 00:00 +0"]),  # Fridays that are a 13th: both fields hold
        ("*/30 22 31 12 *", "2026-01-01 00:00", ["31 22:00 +0", "31 22:30 +0", "31 22:00 +0"]),
    ],
)
def test_plain_days(cron: str, start: str, expected: list[str]) -> None:
    assert times(cron, "UTC", start, len(expected)) == expected


def test_a_leap_day_on_a_sunday_is_waited_for() -> None:
    found = [Cron("0 0 29 2 0", "UTC").after(utc(start)) for start in ("2032-03-01 00:00", "2088-03-01 00:00")]

    assert [datetime.fromtimestamp(at, UTC).year for at in found] == [2060, 2128]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # On 29 March the clock leaps from 2 to 3.
        ("30 2 * * *", ["28 02:30 +1", "29 03:30 +2", "30 02:30 +2"]),
        ("30 1,2,3 29 3 *", ["29 01:30 +1", "29 03:30 +2"]),  # two times that are one moment
        ("0 3 * * *", ["28 03:00 +1", "29 03:00 +2", "30 03:00 +2"]),
    ],
)
def test_an_hour_that_is_not_there(cron: str, expected: list[str]) -> None:
    assert times(cron, BERLIN, "2026-03-27 12:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # On 25 October the clock goes back from 3 to 2.
        ("30 2 * * *", ["24 02:30 +2", "25 02:30 +2", "26 02:30 +1"]),
        ("0 3 * * *", ["24 03:00 +2", "25 03:00 +1", "26 03:00 +1"]),
    ],
)
def test_an_hour_that_comes_twice_counts_once(cron: str, expected: list[str]) -> None:
    assert times(cron, BERLIN, "2026-10-23 12:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2026-03-28 23:45", ["29 01:15 +1", "29 03:15 +2", "29 04:15 +2"]),
        ("2026-10-24 23:45", ["25 02:15 +2", "25 02:15 +1", "25 03:15 +1"]),
    ],
)
def test_what_comes_every_hour_goes_on_to_do_so(start: str, expected: list[str]) -> None:
    assert times("15 * * * *", BERLIN, start, 3) == expected


def test_a_half_hour_that_is_not_there() -> None:
    assert times("10 * * * *", "Australia/Lord_Howe", "2026-10-03 14:30", 3) == [
        "04 01:10 +10.5",
        "04 02:40 +11",
        "04 03:10 +11",
    ]


def test_a_day_that_is_not_there() -> None:
    """Apia had no 30 December 2011: it went over the date line."""
    assert times("0 9 * * *", "Pacific/Apia", "2011-12-29 12:00", 3) == ["29 09:00 -10", "31 09:00 +14", "01 09:00 +14"]


CRONS = st.sampled_from(["30 2 * * *", "15 * * * *", "*/20 1-3 * * *", "0 0 * * 0", "59 23 * * *", "0 0,1,2,3 * * *"])
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Sao_Paulo"])
MOMENTS = st.integers(int(utc("2016-01-01 00:00")), int(utc("2027-01-01 00:00")))


@given(CRONS, ZONES, MOMENTS)
def test_until_and_after_say_the_same(cron: str, zone: str, at: int) -> None:
    """Between two times that follow one another there is none, whichever way it is asked."""
    one = Cron(cron, zone)
    following = one.after(at)
    between = one.until(following - 1, at)

    assert following > at
    assert between is None
    assert one.until(following, at) == following
    assert one.until(following + 0.5, at) == following
    assert one.after(one.until(at, 0) or 0) == following


@given(ZONES, MOMENTS)
def test_every_day_has_its_time(zone: str, at: int) -> None:
    found = Cron("30 2 * * *", zone).after(at) - at

    assert 0 < found <= timedelta(hours=25).total_seconds()


def test_until_finds_nothing_before_the_first() -> None:
    assert Cron("0 3 1 * *", "UTC").until(utc("2026-02-01 02:59"), utc("2026-01-01 03:00")) is None
