"""Cron: five fields as times on the clock of a time zone, whose days may lack an hour or have one twice."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import cast
from zoneinfo import ZoneInfo

from celery import schedules

_DAY = timedelta(days=1)
_HOURS = 24
# Of 29 February on one day of the week, with 2100 in between, which is no leap year.
_LONGEST = timedelta(days=366 * 41)


def crontab(text: str) -> schedules.crontab:
    """Celery's schedule for five fields: minute, hour, day of the month, month, day of the week; as `0 3 * * *`.

    Raises:
        ValueError: a field is out of range, or they name a day that never comes.
    """
    minute, hour, day, month, weekday = text.split()
    try:
        return schedules.crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    except (schedules.ParseException, ValueError) as error:
        raise ValueError(f"cannot be used: {error}") from error


@dataclass(frozen=True)
class Cron:
    """The times of five fields in a time zone; day of the month and day of the week must both be right.

    A time that the clock leaps over comes as much later as it leaps. One that the clock shows twice comes the first
    time only, but both times if the hour is `*`: whatever comes every hour goes on to do so.
    """

    text: str
    zone: str

    def after(self, at: float) -> float:
        """The first time later than `at`, in Unix seconds."""
        day = self._day(at) - _DAY
        for _ in range(_LONGEST.days):
            times = _times(self, day)
            if times and times[-1] > at:
                return times[bisect.bisect_right(times, at)]
            day += _DAY
        raise ValueError(f"`{self.text}` names a day that never comes")

    def until(self, at: float, since: float) -> float | None:
        """The last time not later than `at`, and later than `since`; None: there is none."""
        day = self._day(at) + _DAY
        while day >= self._day(since) - _DAY:
            times = _times(self, day)
            if times and times[0] <= at:
                found = times[bisect.bisect_right(times, at) - 1]
                return found if found > since else None
            day -= _DAY
        return None

    def _day(self, at: float) -> date:
        return datetime.fromtimestamp(at, self._zone).date()

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def _fields(self) -> schedules.crontab:
        return crontab(self.text)

    def on(self, day: date) -> tuple[float, ...]:
        """The times of one day."""
        fields = self._fields
        if day.month not in fields.month_of_year or day.day not in fields.day_of_month:
            return ()
        if day.isoweekday() % 7 not in fields.day_of_week:
            return ()
        found = {
            moment for hour in fields.hour for minute in fields.minute for moment in self._shown(day, hour, minute)
        }
        return tuple(sorted(found))

    def _shown(self, day: date, hour: int, minute: int) -> tuple[float, ...]:
        """When the clock shows that time, as far as it counts."""
        first, second = (datetime.combine(day, time(hour, minute, fold=fold), self._zone) for fold in (0, 1))
        twice = second.timestamp() > first.timestamp()
        every_hour = len(cast("set[int]", self._fields.hour)) == _HOURS
        return (first.timestamp(), second.timestamp()) if twice and every_hour else (first.timestamp(),)


@lru_cache(maxsize=256)
def _times(cron: Cron, day: date) -> tuple[float, ...]:
    """As `on`: a beat asks for the same day again and again."""
    return cron.on(day)
