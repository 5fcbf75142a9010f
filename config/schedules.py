"""Schedules, and the selection of environments that a schedule or a command acts on."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from config.cron import crontab
from config.model import Model
from config.names import LabelKey, Line, Matching, Name
from config.timetable import Timetable

_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
Interval = Annotated[
    str, Matching(r"(?=.*[1-9])(\d{1,4}d)?(\d{1,4}h)?(\d{1,4}m)?(\d{1,6}s)?", "an interval as 30m, 6h or 1d12h", 20)
]
_PART = r"(\*(/\d+)?|\w+(-\w+(/\d+)?)?)"
_FIELD = rf"{_PART}(,{_PART})*"
_FIELDS = Matching(
    rf"{_FIELD}( +{_FIELD}){{4}}", "five fields: minute, hour, day, month and day of the week, as `0 3 * * *`"
)
_RUN_ONCE = "run-once"
_LIMIT = "1d"


class Selection(Model):
    """Which environments. Each kind that is given narrows: one of the names, one of the groups, all of the labels.

    Nothing given: the whole fleet.
    """

    environments: tuple[Name, ...] = Field(default=(), description="Any of these environments.")
    groups: tuple[Name, ...] = Field(default=(), description="Environments in any of these groups.")
    labels: dict[LabelKey, Line] = Field(default={}, description="Environments with all of these labels.")


def _checked(text: str) -> str:
    crontab(text)
    return text


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """The time zones that this machine knows. To find them a folder of hundreds of files is read."""
    return frozenset(available_timezones())


def _known_zone(name: str) -> str:
    if name in _zones():
        return name
    near = difflib.get_close_matches(name, sorted(_zones()), n=1)
    raise ValueError(f"is no time zone{f'; did you mean `{near[0]}`?' if near else ', as Europe/Berlin or UTC'}")


def _kind(value: Any) -> str:
    return "all" if isinstance(value, str) else "some"


class Schedule(Model):
    """A workflow or a job that is launched by itself, at an interval or at times."""

    name: Name = Field(description="What its runs are said to be launched by.")
    workflow: Name = Field(description="A workflow, `up`, or a job that concerns no environment.")
    select: (
        Annotated[Annotated[Literal["all"], Tag("all")] | Annotated[Selection, Tag("some")], Discriminator(_kind)]
        | None
    ) = Field(default=None, description="The environments of a workflow: `all`, or which.")
    every: Interval | None = Field(default=None, description="Launch it at this interval, as 6h.")
    cron: Annotated[str, _FIELDS, AfterValidator(_checked)] | None = Field(
        default=None, description="Launch it at these times, as `0 3 * * *`."
    )
    timezone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        default=None, description="The time zone of `cron`, as Europe/Berlin; without it UTC."
    )
    jitter: Interval | None = Field(
        default=None, description="Each firing comes later by a part of this, as good as random."
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip",
        description="While an earlier firing's rollout goes on: leave this one out, let it wait, or launch it.",
    )
    missed: Literal["skip", "run-once"] = Field(
        default="skip", description="What becomes of a time at which nobody was there to fire it."
    )
    missed_limit: Interval | None = Field(
        default=None, description=f"With run-once: so late it is not made up for any more; without it {_LIMIT}."
    )

    @model_validator(mode="after")
    def _fits(self) -> Schedule:
        if (self.every is None) == (self.cron is None):
            raise PydanticCustomError("trigger", "needs exactly one of `every` (as 6h) and `cron` (as 0 3 * * *)")
        if self.every and self.timezone:
            raise PydanticCustomError("trigger", "has a `timezone`, which is of use with `cron` only")
        if self.every and self.jitter and seconds(self.jitter) >= seconds(self.every):
            raise PydanticCustomError("trigger", "needs a `jitter` that is shorter than `every`")
        if self.missed_limit and self.missed != _RUN_ONCE:
            raise PydanticCustomError("trigger", "has a `missed_limit`, which is of use with `missed: run-once` only")
        return self

    @property
    def selection(self) -> Selection:
        """The environments; of a job, which names none, it means nothing."""
        return self.select if isinstance(self.select, Selection) else Selection()

    @property
    def late_seconds(self) -> int:
        """How late a missed time is still made up for; 0: not at all."""
        return seconds(self.missed_limit or _LIMIT) if self.missed == _RUN_ONCE else 0

    @property
    def when(self) -> str:
        """Its times in words: `every 6h`, `0 3 * * * Europe/Berlin`."""
        times = f"every {self.every}" if self.every else f"{self.cron} {self.timezone or 'UTC'}"
        return f"{times}, jitter {self.jitter}" if self.jitter else times

    def timetable(self, since: float) -> Timetable:
        """Its times; those of an interval are counted from `since`."""
        return Timetable(
            name=self.name,
            cron=self.cron,
            timezone=self.timezone or "UTC",
            interval_seconds=seconds(self.every or ""),
            jitter_seconds=seconds(self.jitter or ""),
            since=since,
        )


def seconds(interval: str) -> int:
    """Of an interval as `1d12h`."""
    return sum(int(part[:-1]) * _UNIT_SECONDS[part[-1]] for part in re.findall(r"\d+[dhms]", interval))
