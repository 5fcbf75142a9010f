"""Lifelines are fed only after Redis has said that the lease is good."""

from __future__ import annotations

import pytest
import redis

from tasks.adapters.process import Lifeline
from workers.keys import Keys
from workers.leases import Leases


class Recorder(Lifeline):
    """A lifeline that says what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[object] = []

    def feed(self, seconds: float) -> None:
        self.done.append(seconds)

    def cut(self, reason: str) -> None:
        self.done.append(reason)


@pytest.fixture
def leases() -> Leases:
    return Leases(redis.Redis(), Keys("t"), lease_seconds=12, renew_seconds=4)


def test_renewal(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    good, lost, ticks = Recorder(), Recorder(), []
    monkeypatch.setattr(leases, "_renew", lambda keys, *words: ["r2.1.1.1"])

    leases.renew({"r1.1.1.1": (good, lambda: ticks.append(1)), "r2.1.1.1": (lost, lambda: ticks.append(2))})

    assert (good.done, lost.done, ticks) == ([pytest.approx(12, abs=1)], ["its lease is gone"], [1])


def test_without_redis_nobody_is_fed(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the guards end the tools when the time that they were told is over."""
    hungry = Recorder()

    def unreachable(keys: list[str], *words: object) -> list[str]:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(leases, "_renew", unreachable)

    leases.renew({"r1.1.1.1": (hungry, lambda: None)})

    assert hungry.done == []
