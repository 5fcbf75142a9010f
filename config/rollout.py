"""Rollout policy: how a workflow goes over many environments, and when it stops by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from config.model import Model
from config.names import Matching, Name
from config.schedules import Interval

Amount = (
    Annotated[int, Field(ge=0, le=1_000_000)]
    | Annotated[str, Matching(r"(100|[1-9]?\d)%", "a number, or a part as 5%", 4)]
)
"""Of environments: a number, or a part of all that are selected."""


_NOTHING = (0, "0%")


class Canary(Model):
    """The environments that go first, and alone."""

    size: Amount = Field(description="How many; the first ones in the order of the file. 0: no canary.")
    then: Literal["pause", "go-on"] = Field(
        default="pause", description="Once they have ended: wait for an operator, or go on if all of them went well."
    )


class Limit(Model):
    """How many environments may fail in one way. Of `step` and `kind`, what is not given does not matter."""

    step: str | None = Field(default=None, description="Only failures at this step.")
    kind: str | None = Field(default=None, description="Only failures of this kind.")
    failures: Amount = Field(description="So many are tolerated.")


class Budget(Model):
    """How many environments may fail: one failure more, and the rollout pauses."""

    failures: Amount | None = Field(default=None, description="So many are tolerated in all.")
    limits: tuple[Limit, ...] = Field(default=(), description="And of some failures, so many.")

    @property
    def rules(self) -> tuple[Limit, ...]:
        """All limits, the one for all failures first."""
        return (*(() if self.failures is None else (Limit(failures=self.failures),)), *self.limits)


class Policy(Model):
    """How a rollout goes over the environments that it selects."""

    max_parallel: int = Field(default=100, ge=1, le=100_000, description="So many environments at one time.")
    per_provider: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="At most so many at one time of a provider, by its name."
    )
    canary: Canary | None = Field(default=None, description="Some go first, and alone.")
    batch: Amount | None = Field(default=None, description="Then so many at a time, each after the last; 0: all.")
    budget: Budget = Field(default=Budget(), description="How many may fail.")
    deadline: Interval | None = Field(default=None, description="After this time nothing new starts, as 2h.")

    @field_validator("canary")
    @classmethod
    def _none_of_nothing(cls, value: Canary | None) -> Canary | None:
        return None if value and value.size in _NOTHING else value

    @field_validator("batch")
    @classmethod
    def _no_batches_of_nothing(cls, value: Amount | None) -> Amount | None:
        return None if value in _NOTHING else value


def count(amount: Amount, total: int) -> int:
    """How many of `total` environments are meant; a part is rounded down."""
    return amount if isinstance(amount, int) else total * int(amount[:-1]) // 100
