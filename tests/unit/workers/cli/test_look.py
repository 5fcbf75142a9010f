"""How one environment is shown."""

from __future__ import annotations

import io

from rich.console import Console

from tasks.errors import Kind
from tasks.failure import EarlierAttempt
from workers.cli import look


def attempt(number: int, summary: str) -> EarlierAttempt:
    return EarlierAttempt(attempt=number, at=1.0, kind=Kind.TIMEOUT, summary=summary, trace_id=f"t-{number}")


def test_an_attempt_is_a_line_and_says_nothing_twice() -> None:
    shown = Console(file=io.StringIO(), width=80)

    look._print_attempts(shown, [attempt(1, "x" * 500), attempt(2, "x" * 500), attempt(3, "too [slow]")])

    first, *rest = shown.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert (len(first), first[:40]) == (160, "      attempt 1: timeout: xxxxxxxxxxxxxx")
    assert first.endswith("x…  (stepmark trace t-1)")
    assert rest == [
        "      attempt 2: the same  (stepmark trace t-2)",
        "      attempt 3: timeout: too [slow]  (stepmark trace t-3)",
    ]
