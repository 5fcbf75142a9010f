"""Schedules, and the selection of environments that a schedule or a command acts on."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from celery import schedules as celery_schedules
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from config.names import LabelKey, Line, Matching, Name
from config.parameters import Model

_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
Interval = Annotated[
    str, Matching(r"(?=.*[1-9])(\d{1,4}d)?(\d{1,4}h)?(\d{1,4}m)?(\d{1,6}s)?", "an interval as 30m, 6h or 1d12h", 20)
]
_PART = r"(\*(/\d+)?|\w+(-\w+(/\d+)?)?)"
_FIELD = rf"{_PART}(,{_PART})*"
_FIELDS = Matching(
    rf"{_FIELD}( +{_FIELD}){{4}}", "five fields: minute, hour, day, month and day of the week, as `0 3 * * *`"
)


class Selection(Model):
    """Which environments. Each kind that is given narrows: one of the names, one of the groups, all of the labels.

    Nothing given: the whole fleet.
    """

    environments: tuple[Name, ...] = Field(default=(), description="Any of these environments.")
    groups: tuple[Name, ...] = Field(default=(), description="Environments in any of these groups.")
    labels: dict[LabelKey, Line] = Field(default={}, description="Environments with all of these labels.")


def crontab(text: str) -> celery_schedules.crontab:
    """Celery's schedule for five fields: minute, hour, day of the month, month, day of the week; as `0 3 * * *`.

    Raises:
        ValueError: a field is out of range, or they name a day that never comes.
    """
    minute, hour, day, month, weekday = text.split()
    try:
        return celery_schedules.crontab(
            minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday
        )
    except (celery_schedules.ParseException, ValueError) as error:
        raise ValueError(f"cannot be used: {error}") from error


def _checked(text: str) -> str:
    crontab(text)
    return text


def _kind(value: Any) -> str:
    return "all" if isinstance(value, str) else "some"


class Schedule(Model):
    """A workflow that is launched by itself, at an interval or at times."""

    name: Name = Field(description="What its runs are said to be launched by.")
    workflow: Name = Field(description="The workflow, or `up`.")
    select: Annotated[
        Annotated[Literal["all"], Tag("all")] | Annotated[Selection, Tag("some")], Discriminator(_kind)
    ] = Field(description="The environments: `all`, or which.")
    every: Interval | None = Field(default=None, description="Launch it at this interval, as 6h.")
    cron: Annotated[str, _FIELDS, AfterValidator(_checked)] | None = Field(
        default=None, description="Launch it at these times, as `0 3 * * *`, in UTC."
    )

    @model_validator(mode="after")
    def _one_trigger(self) -> Schedule:
        if (self.every is None) == (self.cron is None):
            raise PydanticCustomError("trigger", "needs exactly one of `every` (as 6h) and `cron` (as 0 3 * * *)")
        return self

    @property
    def selection(self) -> Selection:
        """The environments."""
        return Selection() if isinstance(self.select, str) else self.select

    @property
    def trigger(self) -> celery_schedules.schedule:
        """When it is launched, for Celery's beat."""
        return crontab(self.cron) if self.cron else celery_schedules.schedule(seconds(self.every or ""))


def seconds(interval: str) -> int:
    """Of an interval as `1d12h`."""
    return sum(int(part[:-1]) * _UNIT_SECONDS[part[-1]] for part in re.findall(r"\d+[dhms]", interval))
