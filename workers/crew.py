"""Crew: the worker processes of one machine, started together and ended together; one that dies is started again."""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tasks.adapters import children
from tasks.adapters.children import Child
from tasks.workflows.model import Queue
from workers import beats

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_HURRY_SECONDS = 2.0
_PULSE_FILE = "STEPMARK_PULSE_FILE"
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_POOLS = {Queue.TOOLS: "prefork", Queue.WAIT: "threads"}
# Told to end by somebody else, or called wrongly: it would be the same again.
_FINAL = (0, 2)


def commands(
    slots: Mapping[Queue, int], options: Sequence[str] = (), *, beat: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """The command line of each process, by name: a worker for each queue, with so many slots.

    options: Celery's own, for all workers; they override ours.
    """
    celery = (sys.executable, "-P", "-m", "workers.program", "-A", "workers")
    made = {
        queue.value: (
            *(*celery, "worker", "-Q", queue.value, "-n", f"{queue.value}@%h"),
            *("-P", _POOLS[queue], "-c", str(count), "--loglevel", "INFO", *options),
        )
        for queue, count in slots.items()
    }
    if beat:
        made["beat"] = (*celery, "beat", "--scheduler", "workers.beat:Scheduler", "--pidfile", "", "--loglevel", "INFO")
    return made


@dataclass(frozen=True)
class Patience:
    """With a process that dies. most: how often in a row it may have died within `quick_seconds` of its start.

    pause_seconds: before it is started again; doubled after each such death.
    """

    quick_seconds: float = 60.0
    most: int = 4
    pause_seconds: float = 1.0


class Member:
    """One process of a crew. told: it was sent a signal."""

    def __init__(self, name: str, command: tuple[str, ...], env: Mapping[str, str], patience: Patience) -> None:
        self.told = False
        self._name = name
        self._command = command
        self._env = env
        self._patience = patience
        self._child: Child | None = None
        self._start_at = 0.0
        self._quick_deaths = 0

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._child is not None and self._child.poll() is None

    def look(self, at: float) -> bool:
        """Start it when its time has come, also again. False: that would be of no use. at: on the monotonic clock."""
        if self.alive:
            return True
        if self._child is not None:
            return self._mourn(self._child.returncode, at)
        if at >= self._start_at:
            self._start_at = at
            self._child = children.start(self._command, self._env)
        return True

    def tell(self, number: signal.Signals) -> None:
        """Signal it, if it runs."""
        if self._child is not None and self.alive:
            self.told = True
            self._child.send_signal(number)

    def _mourn(self, status: int, at: float) -> bool:
        """Choose when it is started again. False: never."""
        self._child = None
        quick = at - self._start_at < self._patience.quick_seconds
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        if status in _FINAL or self._quick_deaths > self._patience.most:
            logger.error("Process %s has ended with status %s: ending the others", self._name, status)
            return False
        pause = self._patience.pause_seconds * 2 ** max(0, self._quick_deaths - 1)
        logger.error("Process %s has ended with status %s: starting it again in %g s", self._name, status, pause)
        self._start_at = at + pause
        return True


class Crew:
    """Processes that live and end together. One that dies is started again; if that is of no use, the others end."""

    def __init__(self, made: Mapping[str, tuple[str, ...]], patience: Patience = Patience()) -> None:
        env = {**environment(), beats.CREW_VARIABLE: secrets.token_hex(8)}
        several = len(made) > 1
        self._members = [
            Member(name, command, _with_a_pulse(env, name) if several else env, patience)
            for name, command in made.items()
        ]
        self._told = 0

    def run(self) -> bool:
        """Start them, pass TERM and INT on, wait for their end. Whether they ended because they were told to."""
        with self._signals():
            while not self._told and self._look():
                time.sleep(_LOOK_SECONDS)
            told = bool(self._told)
            self._end(math.inf if told else time.monotonic() + _HURRY_SECONDS)
        return told

    def _look(self) -> bool:
        """Whether all live, or will again."""
        at = time.monotonic()
        return all(member.look(at) for member in self._members)

    def _end(self, hurry_at: float) -> None:
        """See that all are told, and wait for their end. Told again, from `hurry_at` on, they hand over what runs."""
        while living := [member for member in self._members if member.alive]:
            hurry = time.monotonic() >= hurry_at
            for member in living:
                if hurry or not member.told:
                    member.tell(signal.SIGTERM)
            hurry_at += _HURRY_SECONDS if hurry else 0.0
            time.sleep(_LOOK_SECONDS)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        former = {number: signal.signal(number, self._heard) for number in _FORWARDED}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        """The first TERM or INT lets running steps end, the second hands them over; a third INT, or QUIT, kills."""
        self._told += 1
        impatient = self._told > 2 and number == signal.SIGINT
        for member in self._members:
            member.tell(signal.SIGQUIT if impatient or number == signal.SIGQUIT else signal.SIGTERM)


def _with_a_pulse(env: Mapping[str, str], name: str) -> Mapping[str, str]:
    """A pulse file of its own for each of several: one that lives must not hide one that does not."""
    file = env.get(_PULSE_FILE)
    return {**env, _PULSE_FILE: f"{file}.{name}"} if file else env


def environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same `workers` package, installed or not."""
    own = str(Path(__file__).parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != own]
    return {**os.environ, "PYTHONPATH": os.pathsep.join((own, *paths))}
