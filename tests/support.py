"""Helpers that several kinds of tests share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# The sources, for what is built from them; the tests themselves may run elsewhere, against the installed wheel.
REPOSITORY = Path(os.environ.get("STEPMARK_TEST_SOURCE", Path(__file__).parents[1]))


def poll(condition: Callable[[], T], *, seconds: float = 60, every: float = 0.05) -> T:
    """The first true value of `condition()`.

    Raises: AssertionError after `seconds`.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"did not come true within {seconds} s")


THOROUGH = bool(os.environ.get("STEPMARK_TEST_ALL"))


def sampled(every: Sequence[T], *few: T) -> Sequence[T]:
    """The few, for a run that has to be short; all of them if STEPMARK_TEST_ALL is set."""
    return every if THOROUGH else few
