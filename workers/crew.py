"""Crew: the worker processes of one machine, started together and ended together."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tasks.adapters import children
from tasks.adapters.children import Child
from tasks.workflows.model import Queue

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_HURRY_SECONDS = 1.0
_PULSE_FILE = "STEPMARK_PULSE_FILE"
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_POOLS = {Queue.TOOLS: "prefork", Queue.WAIT: "threads"}


def commands(
    slots: Mapping[Queue, int], options: Sequence[str] = (), *, beat: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """The command line of each process, by name: a worker for each queue, with so many slots.

    options: Celery's own, for all workers; they override ours.
    """
    celery = (sys.executable, "-m", "celery", "-A", "workers")
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


class Crew:
    """Processes that live and die together: the end of one ends the others."""

    def __init__(self, made: Mapping[str, tuple[str, ...]]) -> None:
        self._commands = made
        self._children: dict[str, Child] = {}
        self._told = 0

    def run(self) -> bool:
        """Start them, pass TERM and INT on, wait for their end. Whether they ended because they were told to."""
        with self._signals():
            for name, command in self._commands.items():
                self._children[name] = children.start(command, self._environment(name))
            while not self._ended():
                time.sleep(_LOOK_SECONDS)
            told = bool(self._told)
            if not told:  # told twice, they hand over: a long step must not keep all from being started anew
                self._pass_on(signal.SIGTERM)
                time.sleep(_HURRY_SECONDS)
                self._pass_on(signal.SIGTERM)
            while any(child.poll() is None for child in self._children.values()):
                time.sleep(_LOOK_SECONDS)
        return told

    def _environment(self, name: str) -> dict[str, str]:
        """A pulse file of its own for each, if there are several: one that lives must not hide one that does not."""
        found = environment()
        if len(self._commands) > 1 and (file := found.get(_PULSE_FILE)):
            found[_PULSE_FILE] = f"{file}.{name}"
        return found

    def _ended(self) -> bool:
        """Whether one has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                if not self._told:
                    logger.error("Process %s has ended with status %s: ending the others", name, child.returncode)
                return True
        return False

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
        self._pass_on(signal.SIGQUIT if impatient or number == signal.SIGQUIT else signal.SIGTERM)

    def _pass_on(self, number: signal.Signals) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(number)


def environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same `workers` package, installed or not."""
    own = str(Path(__file__).parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != own]
    return {**os.environ, "PYTHONPATH": os.pathsep.join((own, *paths))}
