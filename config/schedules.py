"""Schedules, and the selection of environments that a schedule or a command acts on."""

from __future__ import annotations

import re
from typing import Annotated

from celery.schedules import crontab, crontab_parser
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from config.names import LabelKey, Line, Name
from config.parameters import Model

_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_CRON_PART = r"(\*(/\d+)?|\w+(-\w+(/\d+)?)?)"
_CRON_FIELD = re.compile(rf"{_CRON_PART}(,{_CRON_PART})*", re.ASCII)
_INTERVAL = re.compile(r"(?=\d)(\d{1,4}d)?(\d{1,4}h)?(\d{1,4}m)?(\d{1,6}s)?")


class Selection(Model):
    """Which environments. Each kind that is given narrows: one of the names, one of the groups, all of the labels.

    Nothing given: the whole fleet.
    """

    environments: tuple[Name, ...] = Field((), description="Any of these environments.")
    groups: tuple[Name, ...] = Field((), description="Environments in any of these groups.")
    labels: dict[LabelKey, Line] = Field({}, description="Environments with all of these labels.")


def interval_seconds(text: str) -> int:
    """Seconds of an interval as `6h`, `90s`, `1d12h`.

    Raises:
        ValueError: it is none, or is no time at all.
    """
    if not _INTERVAL.fullmatch(text):
        raise ValueError("is no interval: write it as 30m, 6h or 1d12h")
    seconds = sum(int(part[:-1]) * _UNIT_SECONDS[part[-1]] for part in re.findall(r"\d+[dhms]", text))
    if not seconds:
        raise ValueError("is no time at all: write it as 30m, 6h or 1d12h")
    return seconds


def cron(text: str) -> crontab:
    """Celery's schedule for five fields: minute, hour, day of the month, month, day of the week; as `0 3 * * *`.

    Raises:
        ValueError: it is none, or names a day that never comes.
    """
    fields = text.split()
    if len(fields) != 5 or not all(map(_CRON_FIELD.fullmatch, fields)):
        raise ValueError("needs five fields: minute, hour, day of the month, month, day of the week, as 0 3 * * *")
    minute, hour, day, month, weekday = fields
    try:
        return crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    except (crontab_parser.ParseException, ValueError) as error:
        raise ValueError(f"cannot be used: {error}") from error


def _checked_interval(text: str) -> str:
    interval_seconds(text)
    return text


def _checked_cron(text: str) -> str:
    cron(text)
    return text


class Schedule(Model):
    """A workflow that is launched by itself, at an interval or at times."""

    name: Name
    workflow: Name
    select: Selection
    every: Annotated[str, AfterValidator(_checked_interval)] | None = None
    cron: Annotated[str, AfterValidator(_checked_cron)] | None = None

    @model_validator(mode="after")
    def _one_trigger(self) -> Schedule:
        if (self.every is None) == (self.cron is None):
            raise PydanticCustomError("trigger", "needs exactly one of `every` (as 6h) and `cron` (as 0 3 * * *)")
        return self
