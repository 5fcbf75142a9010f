"""Run one external program; the only place that starts a process."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import math
import os
import select
import shlex
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tasks import errors
from tasks.adapters import guard, nursery, output
from tasks.adapters.lifeline import Lifeline
from tasks.redact import Redactor

__all__ = ["Command", "Completed", "Lifeline", "Redactor", "Session", "run"]

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
# Messages are read by programs: always the same language.
_FIXED = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
# Beyond the two graces that a guard may take; a guard that takes longer is stuck, and its program is killed from here.
STUCK_SECONDS = 15.0
# A guard that was told, or whose lease has lapsed, may be so late: less than the margin of a takeover.
SLACK_SECONDS = 0.25
LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Command:
    """A program to run, without a shell.

    env: added to a small base environment (PATH, HOME, LANG, TMPDIR …), not to all of the worker's.
    timeout_seconds: at most this long, and never past the session's deadline. input: sent to its standard input.
    shown: what people see of it, as in errors, instead of all its words.
    loaded: it is the `ansible-playbook` of this Python, which the nursery has loaded.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None
    input: str | None = None
    shown: str = ""
    loaded: bool = False


@dataclass(frozen=True)
class Completed:
    """How a program ended. `stdout` and `stderr` are as written, secrets included: to parse, never to show.

    exit_status: 0 to 255; minus the signal's number if a signal ended it.
    tail: the last 50 lines of both streams together, redacted: to show.
    truncated: it wrote more than the 16 MiB that are kept of each stream, from the start.
    """

    command: Command
    exit_status: int
    stdout: str
    stderr: str
    tail: str
    seconds: float
    truncated: bool = False


@dataclass(frozen=True)
class Session:
    """One step's leave to run programs.

    deadline: on the monotonic clock. write: takes each line of output, redacted, without its newline.
    grace_seconds: a program that has to be ended is killed after two of them.
    """

    deadline: float
    write: Callable[[str], None]
    redact: Redactor
    lifeline: Lifeline
    grace_seconds: float = 5.0


def run(command: Command, session: Session) -> Completed:
    """Run `command` to its end, streaming its output; whatever exit status it has is the caller's to judge.

    What it leaves running in its process group is ended too, half a second later; a daemon leaves the group. Any thread
    may call it.

    Raises:
        ToolMissingError: the program is not there.
        DeadlineError: it ran past its time, and its process group has been ended.
        LeaseLostError, or what the lifeline was cut with: it was cut, and its process group has been ended.
        ToolError: it could not be started, or its guard was killed.
    """
    began = time.monotonic()
    seconds = min(session.deadline - began, math.inf if command.timeout_seconds is None else command.timeout_seconds)
    if seconds <= 0:
        raise errors.DeadlineError(f"no time was left to run {command.argv[0]}", _text(command, session))
    ours, theirs = _control(command, session)
    with ours, session.lifeline.join(ours) as good_until:
        with theirs:
            deadline = guard.clock() + seconds
            child = _start(command, session, theirs, (deadline, good_until))
        run_ = _Run(child, ours, output.Transcript(session.redact, session.write))
        stuck = 2 * session.grace_seconds + STUCK_SECONDS
        try:
            run_.follow(lambda: min(deadline + stuck, _all_over_at(session)))
        finally:
            run_.close(max(0.0, min(stuck, _all_over_at(session) - guard.clock())))
    _judge(command, session, run_, seconds)
    return _completed(command, run_, time.monotonic() - began)


def _all_over_at(session: Session) -> float:
    """When a guard must have ended its program for want of a lease, on the guards' clock; sooner than others go on."""
    return session.lifeline.lost_at + 2 * session.grace_seconds + SLACK_SECONDS


class _Run:
    """A program under its guard, as seen from here. said: what the guard told, by its first word."""

    def __init__(self, child: nursery.Child, control: socket.socket, transcript: output.Transcript) -> None:
        self.transcript = transcript
        self.said: dict[str, str] = {}
        self._child = child
        self._control = control
        self._poll = select.poll()
        self._streams = {_descriptor(child.stdout): transcript.stdout, _descriptor(child.stderr): transcript.stderr}
        for descriptor in (control.fileno(), *self._streams):
            self._poll.register(descriptor, select.POLLIN)

    def follow(self, last: Callable[[], float]) -> None:
        """Read until the guard has gone, which is after its program; give up at `last`, on the guards' clock."""
        while (left := last() - guard.clock()) > 0:
            for descriptor, _ in self._poll.poll(min(left, LOOK_SECONDS) * 1000):
                if descriptor in self._streams:
                    self._read(descriptor, 65536)
                elif not self._listen():
                    return self._read_rest()
        return None

    def close(self, seconds: float) -> None:
        """Have the program ended if it still runs, and let go of everything; a guard gets `seconds` for it."""
        self._control.close()
        for stream in (self._child.stdout, self._child.stderr):
            if stream:
                stream.close()
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if "exited" not in self.said and "started" in self.said:
            tree = guard.Tree(int(self.said["started"]))
            tree.members()  # as long as their parents live, those that left the group can be found
            tree.kill()
        self.transcript.close()

    def _listen(self) -> bool:
        try:
            said = self._control.recv(4096)
        except ConnectionResetError:  # the guard went without reading the last renewal; what it said comes after this
            said = self._control.recv(4096)
        word, _, rest = said.decode().partition(" ")
        self.said[word] = rest
        return bool(word)

    def _read(self, descriptor: int, most: int) -> None:
        if data := os.read(descriptor, most):
            self._streams[descriptor].feed(data)
        else:
            self._poll.unregister(descriptor)
            del self._streams[descriptor]

    def _read_rest(self) -> None:
        """Read what lies in the pipes, and no more: a daemon that kept them open may write for ever."""
        waiting = array.array("i", [0])
        for descriptor in list(self._streams):
            fcntl.ioctl(descriptor, termios.FIONREAD, waiting)
            self._read(descriptor, waiting[0])


def _descriptor(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise AssertionError("both streams are pipes")
    return stream.fileno()


def _control(command: Command, session: Session) -> tuple[socket.socket, socket.socket]:
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        raise _not_started(command, session, error) from error


def _start(command: Command, session: Session, control: socket.socket, until: tuple[float, float]) -> nursery.Child:
    env = {**_base_environment(), **command.env}
    times = (session.grace_seconds, *until)
    numbers = map(str, (control.fileno(), *times))
    try:
        with _input(command.input) as stdin:
            request = nursery.Request(command.argv, command.cwd, env, times, stdin, control.fileno())
            if command.loaded and (child := nursery.of_process().start(request)):
                return child
            return subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *numbers, "--", *command.argv],
                cwd=command.cwd,
                env=env,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=(control.fileno(),),
            )
    except OSError as error:
        raise _not_started(command, session, error) from error


@contextlib.contextmanager
def _input(text: str | None) -> Iterator[int]:
    if text is None:
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor, not a path, is what is asked for
            yield nothing.fileno()
        return
    with os.fdopen(os.memfd_create("input"), "wb+") as file:  # in memory: it may hold secrets
        file.write(text.encode())
        file.seek(0)
        yield file.fileno()


def _base_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"PATH": os.defpath, **kept, **_FIXED}


def _text(command: Command, session: Session) -> str:
    return session.redact(command.shown or shlex.join(command.argv))


def _not_started(command: Command, session: Session, error: OSError) -> errors.StepmarkError:
    """Say that the program could not be started; `error` is the system's."""
    if error.errno in (errno.ENOENT, errno.EACCES) and error.filename is None:
        return errors.ToolMissingError(f"{command.argv[0]} is not on this worker's PATH")
    where = f": {error.filename}" if error.filename else ""
    return errors.ToolError(f"{command.argv[0]} could not be started: {error.strerror}{where}", _text(command, session))


def _judge(command: Command, session: Session, run_: _Run, seconds: float) -> None:
    """Raise what there is to raise of a program whose guard has gone."""
    tail = "\n".join(run_.transcript.tail)
    if "missing" in run_.said:
        number = int(run_.said["missing"])
        raise _not_started(command, session, OSError(number, os.strerror(number)))
    match run_.said.get("ending"):
        case "deadline":
            summary = f"{command.argv[0]} did not end within {seconds:.3g} s"
            raise errors.DeadlineError(summary, _text(command, session), None, tail)
        case "told" | "lapsed" | "abandoned":
            _check_lease(command, session, tail)
            raise errors.LeaseLostError("its lease was not renewed in time")
    if "exited" not in run_.said:
        _check_lease(command, session, tail)  # for that, a guard that does not heed it is killed
    if "exited" not in run_.said or "ending" in run_.said:
        how = "terminated" if "exited" in run_.said else "killed"
        raise errors.ToolError(f"the guard of {command.argv[0]} was {how}", _text(command, session), None, tail)


def _check_lease(command: Command, session: Session, tail: str) -> None:
    try:
        session.lifeline.check()
    except errors.ToolError as error:
        raise type(error)(error.summary, _text(command, session), None, tail) from None


def _completed(command: Command, run_: _Run, seconds: float) -> Completed:
    streams = run_.transcript.stdout, run_.transcript.stderr
    return Completed(
        command,
        int(run_.said["exited"]),
        streams[0].text,
        streams[1].text,
        "\n".join(run_.transcript.tail),
        seconds,
        any(stream.truncated for stream in streams),
    )
