"""Result: how a step ended when it did not fail, and the facts it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.facts import Facts, PlanSummary


class Ending(StrEnum):
    """How a step ended. `failed` is never returned: a step that fails raises."""

    DONE = "done"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    NOT_POSSIBLE = "not-possible"
    FAILED = "failed"


@dataclass(frozen=True)
class Drift:
    """What a look for drift has found. counts: what a plan would do about it. summary: one line; empty: no drift."""

    counts: PlanSummary
    summary: str = ""


@dataclass(frozen=True)
class Result:
    """What a step returns. `note` is one line for people: the reason of a skip, a count, what was found.

    drift: kept with the environment; None: nobody has looked for any.
    """

    facts: Facts
    ending: Ending = Ending.DONE
    note: str = ""
    drift: Drift | None = None

    def __post_init__(self) -> None:
        if self.ending is Ending.FAILED:
            raise ValueError("a step that fails raises; it does not return")
