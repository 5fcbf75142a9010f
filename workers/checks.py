"""Check: one thing that doctor looked at, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended. missing: Stepmark needs it here. limited: it goes on, with less."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One thing looked at. detail: what was found. advice: how to get it, or what follows."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""
