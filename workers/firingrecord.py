"""Due and Firing: one time of a schedule that is to be fired, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

SCHEDULED = "schedule "
"""The trigger of what a schedule begins: this, and its name."""


@dataclass(frozen=True)
class Due:
    """One firing: a time of a schedule, in Unix seconds. by: who has asked for it; empty: beat."""

    schedule: str
    at: float
    by: str = ""

    def __str__(self) -> str:
        return f"{self.schedule} {self.mark} {self.by}".rstrip()

    @property
    def mark(self) -> str:
        """The time, as keys have it."""
        return f"{self.at:.3f}".removesuffix(".000")

    @classmethod
    def parse(cls, text: str) -> Due:
        """As `str` wrote it."""
        name, at, *by = text.split(" ", 2)
        return cls(name, float(at), *by)


class Outcome(StrEnum):
    """What became of a firing. left-out: nothing was launched. waiting: an earlier one goes on."""

    LAUNCHED = "launched"
    LEFT_OUT = "left-out"
    WAITING = "waiting"


class Firing(BaseModel):
    """What one firing of a schedule did. at: the time of the schedule; fired_at: when it was dealt with. Unix seconds.

    by: who has asked for it, None: beat. reason: why nothing was launched at all.
    rollout: what it began, over so many `environments`. left_out: those whose workers lacked something then, and what;
    what could not be launched later is in the rollout. job: the id of the Celery task, if it is no workflow.
    """

    model_config = ConfigDict(frozen=True)

    schedule: str
    at: float
    fired_at: float
    by: str | None = None
    outcome: Outcome
    reason: str | None = None
    rollout: str | None = None
    environments: int = 0
    left_out: Mapping[str, str] = {}
    job: str | None = None
