"""Run one external program; the only place that starts a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A program to run, without a shell.

    env: added to a small base environment (PATH, HOME, LANG, TMPDIR …), not to all of the worker's.
    timeout_seconds: at most this long, and never past the session's deadline. input: sent to its standard input.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None
    input: str | None = None


@dataclass(frozen=True)
class Completed:
    """How a program ended. `stdout` and `stderr` are as written, secrets included: to parse, never to show.

    exit_status: 0 to 255; minus the signal's number if a signal ended it.
    tail: the last 50 lines of both streams together, redacted: to show.
    """

    command: Command
    exit_status: int
    stdout: str
    stderr: str
    tail: str
    seconds: float


class Redactor:
    """Takes secrets out of text. `add` teaches it one; every later `__call__` renders it as `***`."""

    def add(self, secret: str) -> None:
        raise NotImplementedError

    def __call__(self, text: str) -> str:
        raise NotImplementedError


class Lifeline:
    """What keeps the programs of one step alive: fed by whoever holds the step's lease.

    Each program runs under a guard process of its own, which holds the reading end of a pipe. `feed` tells every guard
    that the lease is good for `seconds` more; a guard that is not fed in time, or whose worker dies, ends its
    program's process group. `cut` ends them now; whoever runs or starts one afterwards gets LeaseLostError.
    """

    def feed(self, seconds: float) -> None:
        raise NotImplementedError

    def cut(self, reason: str) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Session:
    """One step's leave to run programs.

    deadline: on the monotonic clock. write: takes each line of output, redacted, without its newline.
    grace_seconds: between interrupt, terminate and kill when a program has to be ended.
    """

    deadline: float
    write: Callable[[str], None]
    redact: Redactor
    lifeline: Lifeline
    grace_seconds: float = 5.0


def run(command: Command, session: Session) -> Completed:
    """Run `command` to its end, streaming its output; whatever exit status it has is the caller's to judge.

    Raises:
        ToolMissingError: the program is not there.
        DeadlineError: it ran past its time, and its process group has been ended.
        LeaseLostError: the lifeline was cut, and its process group has been ended.
    """
    raise NotImplementedError
