"""Turns are few, come in order, and are given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tasks import errors
from tasks.adapters import process
from tasks.adapters.turns import Share, Turns
from tests.support import poll
from tests.unit.tasks import commands


class Queue:
    """Threads that take turns; each keeps its own until it is told. came: who had one, in order."""

    def __init__(self, count: int) -> None:
        self.turns = Turns(count)
        self.came: list[str] = []
        self.told = {name: threading.Event() for name in "abcd"}
        self._pool = ThreadPoolExecutor(4)

    def join(self, name: str, session: process.Session | None = None) -> Future[None]:
        """Have one more wait, after all who wait already."""
        before = len(self.turns._waiting) + len(self.came)
        future = self._pool.submit(self._take, name, session or commands.session())
        poll(lambda: len(self.turns._waiting) + len(self.came) > before or future.done())
        return future

    def _take(self, name: str, session: process.Session) -> None:
        with self.turns.turn(session):
            self.came.append(name)
            assert self.told[name].wait(20)


def test_who_comes_first_goes_first() -> None:
    queue = Queue(2)
    futures = [queue.join(name) for name in "abcd"]
    assert queue.came == ["a", "b"]

    queue.told["b"].set()
    poll(lambda: queue.came == ["a", "b", "c"])
    for event in queue.told.values():
        event.set()

    assert [future.result(20) for future in futures] == [None] * 4
    assert queue.came == ["a", "b", "c", "d"]
    assert queue.turns._free == 2


def late() -> process.Session:
    return commands.session(seconds=0.2)


def cancelled() -> process.Session:
    session = commands.session()
    session.lifeline.cut(errors.CancelledError("by ann"))
    return session


@pytest.mark.parametrize(("session", "error"), [(late, errors.DeadlineError), (cancelled, errors.CancelledError)])
def test_who_gives_up_is_no_longer_waited_for(
    session: Callable[[], process.Session], error: type[errors.StepmarkError]
) -> None:
    queue = Queue(1)
    futures = [queue.join("a")]
    gone = queue.join("b", session())
    futures.append(queue.join("c"))

    with pytest.raises(error):
        gone.result(20)
    for event in queue.told.values():
        event.set()

    assert [future.result(20) for future in futures] == [None] * 2
    assert queue.came == ["a", "c"]
    assert queue.turns._free == 1


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)

    with pytest.raises(ValueError, match="mine"), turns.turn(commands.session()):
        raise ValueError("mine")

    with turns.turn(commands.session()) as seconds:
        assert seconds < 5


def test_the_more_they_are_the_longer_each_pauses() -> None:
    share = Share(per_second=4)
    assert share.pause_seconds == 0

    with share.member(), share.member():
        assert share.pause_seconds == 0.5

    assert share.pause_seconds == 0
