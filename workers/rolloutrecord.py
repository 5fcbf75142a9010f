"""RolloutRecord: what Redis holds of a rollout, read back as a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from tasks.context import Options
from tasks.errors import StepmarkError
from workers import refusals
from workers.firingrecord import SCHEDULED
from workers.refusals import LackingError

LEFT_OUT = "left-out"


class RolloutStatus(StrEnum):
    """Where a rollout is. succeeded: all went well. failed: it ended otherwise. cancelled: nothing starts any more."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Rule(BaseModel):
    """How many failures at a step and of a kind are tolerated; empty: any."""

    model_config = ConfigDict(frozen=True)

    step: str = ""
    kind: str = ""
    failures: int


class RolloutRecord(BaseModel):
    """A rollout as kept. Times are Unix seconds, by Redis.

    verb: what each environment goes through, as on the command line. total: environments; of them `started` have been
    launched, `left_out` could not be, `ended` have ended: `succeeded`, `failed`, `cancelled`, or `gone` from Redis.
    partial: had steps that are not possible on their hosts. drifted: a look for drift has found some there.
    wave, wave_end: the environments up to that place may start. used: failures that each rule has counted.
    changed_by, reason, changed_at: of the last pause, resumption or cancellation.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    rollout: str
    schema_version: int
    verb: str
    user: str
    trigger: str
    options: Options
    status: RolloutStatus
    created_at: float
    ended_at: float | None = None
    deadline_seconds: float | None = None
    deadline_at: float | None = None
    total: int
    started: int = 0
    left_out: int = 0
    ended: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    gone: int = 0
    partial: int = 0
    drifted: int = 0
    wave: int
    wave_end: int
    canary: int = 0
    canary_then: str | None = None
    batch: int = 0
    max_parallel: int
    providers: tuple[str, ...]
    per_provider: Mapping[str, int]
    live_of: Mapping[str, int]
    rules: tuple[Rule, ...]
    used: tuple[int, ...]
    changed_by: str | None = None
    reason: str | None = None
    changed_at: float | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return None if value == "" else value

    @property
    def live(self) -> int:
        """Environments whose run goes on."""
        return self.started - self.ended

    @property
    def pending(self) -> int:
        """Environments that have not been started."""
        return 0 if self.over else self.total - self.started - self.left_out

    @property
    def scheduled(self) -> bool:
        """Whether a schedule began it, also if an operator has fired that."""
        return self.trigger.startswith(SCHEDULED)

    @property
    def over(self) -> bool:
        """Whether it has ended, its runs too."""
        return self.ended_at is not None

    def free(self, provider: str) -> int:
        """How many environments of a provider may start now."""
        most = self.per_provider.get(provider, self.max_parallel)
        return max(0, min(self.max_parallel - self.live, most - self.live_of.get(provider, 0)))


class Outcome(BaseModel):
    """What became of an environment in a rollout. status: its run's, `gone`, or `left-out`.

    step, kind: of the failure; of what was left out, `kind` is that of the refusal, with its reason, its advice and
    each thing that its workers lack. drift: what a look for it has found, in one line, or empty.
    """

    model_config = ConfigDict(frozen=True)

    status: str
    run: str = ""
    workflow: str = ""
    step: str = ""
    kind: str = ""
    partial: bool = False
    drift: str = ""
    reason: str = ""
    advice: str = ""
    problems: tuple[dict[str, str], ...] = ()


def left_out(error: StepmarkError) -> Outcome:
    """The outcome of an environment that could not be launched."""
    return Outcome(
        status=LEFT_OUT,
        kind=refusals.kind(error),
        reason=str(error),
        advice=refusals.advice(error),
        problems=error.lacks if isinstance(error, LackingError) else (),
    )


def rollout_record(content: Mapping[str, str]) -> RolloutRecord:
    """The record in a rollout's hash."""
    values: dict[str, Any] = dict(content)
    for field in ("options", "providers", "per_provider", "rules"):
        values[field] = json.loads(content[field])
    values["schema_version"] = content["schema"]
    values["live_of"] = {
        field.removeprefix("live:"): value for field, value in content.items() if field.startswith("live:")
    }
    values["used"] = [content.get(f"used:{place}", "0") for place in range(1, len(values["rules"]) + 1)]
    return RolloutRecord.model_validate(values)
