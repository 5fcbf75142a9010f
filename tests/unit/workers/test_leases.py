"""Lifelines are fed only after Redis has said that the lease is good."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tasks.adapters.process import Lifeline
from tasks.errors import DeadlineError, StepmarkError
from workers.keys import Keys
from workers.leases import Hold, Leases


class Recorder(Lifeline):
    """A lifeline that says what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[object] = []

    def feed(self, seconds: float) -> None:
        self.done.append(seconds)

    def cut(self, error: StepmarkError) -> None:
        self.done.append(str(error))


def hold(tick: Callable[[], None] = lambda: None, **more: Any) -> Hold:
    """A lease that was just asked for."""
    return Hold(**{"asked_at": time.monotonic(), "last": math.inf, "tick": tick, "overdue": lambda: None, **more})


@pytest.fixture
def leases() -> Leases:
    return Leases(redis.Redis(), Keys("t"), lease_seconds=12, renew_seconds=4)


def test_renewal(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    good, lost, cancelled, ticks = Recorder(), Recorder(), Recorder(), []
    why = '{"by": "ann@desk", "reason": "wrong size", "at": 1.5}'
    monkeypatch.setattr(leases, "_renew", lambda keys, *words: [["r2.1.1.1"], ["r3.1.1.1", why]])

    leases.renew(
        {
            "r1.1.1.1": (good, hold(lambda: ticks.append(1))),
            "r2.1.1.1": (lost, hold(lambda: ticks.append(2))),
            "r3.1.1.1": (cancelled, hold()),
        }
    )

    assert (good.done, ticks) == ([pytest.approx(12, abs=1)], [1])
    assert lost.done == ["the run is no longer held here: its lease is gone"]
    assert cancelled.done == ["cancelled by ann@desk: wrong size", pytest.approx(12, abs=1)]


def test_a_step_that_outlives_its_deadline_is_let_go(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is renewed no more, its programs are ended, and the run is failed, once."""
    told = threading.Event()
    renewed: list[object] = []
    monkeypatch.setattr(leases, "_renew", lambda keys, *words: renewed.extend(words[1:]) or [[], []])

    with leases.hold("r1.1.1.1", hold(last=100.0, overdue=told.set)) as lifeline:
        leases.look(99.0)
        assert renewed == ["r1.1.1.1"]
        leases.look(100.0)

        assert told.wait(10)
        assert renewed == ["r1.1.1.1"]
        with pytest.raises(DeadlineError):
            lifeline.check()


def test_without_redis_nobody_is_fed(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the guards end the tools when the time that they were told is over."""
    hungry = Recorder()

    def unreachable(keys: list[str], *words: object) -> list[str]:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(leases, "_renew", unreachable)

    leases.renew({"r1.1.1.1": (hungry, hold())})

    assert hungry.done == []
