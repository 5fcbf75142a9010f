from __future__ import annotations

import socket
import threading
import time

import pytest

from tasks import errors
from tasks.adapters import guard
from tasks.adapters.lifeline import Lifeline


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_guards_hear_of_it_as_long_as_they_have_joined() -> None:
    lifeline = Lifeline()
    ours, theirs = pair()
    with ours, theirs:
        with lifeline.join(ours) as good_until:
            assert good_until == float("inf")
            before = guard.clock()
            lifeline.feed(5)
            word, _, until = theirs.recv(100).decode().partition(" ")
            lifeline.cut(errors.LeaseLostError("enough"))
            assert theirs.recv(100) == b"end"
        lifeline.feed(5)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)

    assert word == "good"
    assert before + 5 <= float(until) <= guard.clock() + 5


def test_a_guard_that_does_not_listen_holds_up_nobody() -> None:
    lifeline = Lifeline()
    ours, theirs = pair()
    with ours, theirs, lifeline.join(ours):
        for _ in range(5000):
            lifeline.feed(5)


def test_once_cut_it_stays_cut() -> None:
    lifeline = Lifeline()
    lifeline.cut(errors.LeaseLostError("first"))
    lifeline.cut(errors.LeaseLostError("second"))
    lifeline.feed(100)
    ours, theirs = pair()

    with ours, theirs, pytest.raises(errors.LeaseLostError, match="first"), lifeline.join(ours):
        pass


def test_it_lapses() -> None:
    lifeline = Lifeline()
    lifeline.check()
    lifeline.feed(0)

    with pytest.raises(errors.LeaseLostError, match="not renewed"):
        lifeline.check()


def test_a_cut_wakes_who_waits() -> None:
    lifeline = Lifeline()
    began = time.monotonic()
    lifeline.wait(0.01)
    threading.Timer(0.1, lifeline.cut, [errors.LeaseLostError("enough")]).start()

    with pytest.raises(errors.LeaseLostError, match="enough"):
        lifeline.wait(60)

    assert time.monotonic() - began < 30
