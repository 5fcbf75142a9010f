"""Wait until a host lets us in over SSH, and a command really runs there."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tasks import errors
from tasks.adapters import process, remote_scope, ssh, ssh_outcomes, turns
from tasks.adapters.ssh_outcomes import Attempt, Outcome

BANNER_SECONDS = 5.0
LOGIN_SECONDS = 20.0
_MOST_BYTES = 4096
# So much of the time is left for the last attempt, however long the pause before it would be.
_LAST_SECONDS = 0.5
_ANSWERS = (Outcome.AUTHENTICATION, Outcome.HOST_KEY_CHANGED, Outcome.COMMAND_FAILED)


@dataclass(frozen=True)
class Pace:
    """How often to try, in seconds.

    first, longest: pauses; they double. refused: the pause after a host has answered and turned us away: sshd 9.8 and
    later lock out for a while whoever fails more often than that. patience: how long a host may go on turning us away,
    for one whose cloud-init has not put our key there yet does so too. jitter: a number from 0 to 1.
    """

    first: float = 0.2
    longest: float = 3.0
    refused: float = 5.0
    patience: float = 20.0
    jitter: Callable[[], float] = random.random

    def pause(self, count: int, outcome: Outcome) -> float:
        """The pause after attempt number `count`, from 1."""
        if outcome in _ANSWERS:
            return self.refused
        return min(self.first * 2.0 ** min(count, 16), self.longest) * (0.75 + self.jitter() / 4)


def attempt(target: ssh.Target, session: process.Session) -> Attempt:
    """Try once: connect, read sshd's banner, log in and run `true`."""
    seen = probe(target, session)
    return login(target, session) if seen.outcome is Outcome.OK else seen


def probe(target: ssh.Target, session: process.Session) -> Attempt:
    """Try once to connect and to read sshd's banner.

    A host that still boots is asked no more: this costs next to nothing. A connection alone tells nothing, for what
    stands in front of a host may accept it long before sshd does.
    """
    seconds = max(min(BANNER_SECONDS, session.deadline - time.monotonic()), 0.1)
    try:
        with socket.create_connection((target.address, target.port), seconds) as connection:
            return _banner(connection, session, time.monotonic() + seconds)
    except socket.gaierror as error:
        return Attempt(Outcome.DNS, error.strerror or "")
    except ConnectionRefusedError:
        return Attempt(Outcome.REFUSED)
    except TimeoutError:
        return Attempt(Outcome.TIMED_OUT)
    except OSError as error:
        return Attempt(Outcome.UNREACHABLE, error.strerror or "")


def login(target: ssh.Target, session: process.Session) -> Attempt:
    """Try once to log in and run `true`. Only the key of a host that let us in is pinned."""
    given = ssh.pinned(target.known_hosts)
    current = _login(target, session)
    if current.outcome is not Outcome.OK:
        ssh.pin(target.known_hosts, given)
    return current


def wait(target: ssh.Target, session: process.Session, pace: Pace = Pace()) -> Mapping[str, int]:
    """Try until a login works; gives how often it was tried, by outcome.

    Raises:
        DeadlineError: the session's time passed without a login. NetworkError: and the name was never resolved.
        AuthenticationError: the host went on refusing our key, or showing another one than the pinned.
        RemoteCommandError: it let us in, and could not run `true`, or what an earlier run left there cannot be ended.
        LeaseLostError: a later run or epoch works on the host.
    """
    return _Wait(target, session, pace).perform()


@dataclass
class _Wait:
    """One call of `wait`.

    turned_away: what the host last did, if it answers but does not let us in; since: when that began. On the monotonic
    clock, as `began`.
    """

    target: ssh.Target
    session: process.Session
    pace: Pace
    began: float = field(default_factory=time.monotonic)
    tried: Counter[str] = field(default_factory=Counter)
    last: Attempt | None = None
    turned_away: Attempt | None = None
    since: float = 0.0

    def perform(self) -> Mapping[str, int]:
        while (current := self.attempt()).outcome is not Outcome.OK:
            pause = self.pace.pause(self.tried.total(), current.outcome)
            left, last = self.session.deadline - time.monotonic(), min(_LAST_SECONDS, pause)
            if left <= last or self.out_of_patience():
                raise self.error(self.turned_away or current)
            self.session.lifeline.wait(min(pause, left - last))
        return dict(self.tried)

    def attempt(self) -> Attempt:
        current = self.try_once()
        self.tried[current.outcome.value] += 1
        if current != self.last:
            words = (f"login {self.tried.total()}", current.outcome.value, current.detail)
            self.session.write(": ".join(filter(None, words)))
        self.last = current
        if current.outcome in _ANSWERS:
            self.since = self.since if self.turned_away else time.monotonic()
            self.turned_away = current
        elif time.monotonic() < self.session.deadline:  # else it was cut short by us, and tells nothing new
            self.turned_away = None
        return current

    def try_once(self) -> Attempt:
        if not self.turned_away:  # to a host that answers, a probe would only look like one more login that failed
            seen = probe(self.target, self.session)
            if seen.outcome is not Outcome.OK:
                return seen
        try:
            with turns.LOGINS.turn(self.session) as waited_seconds:
                self.since += waited_seconds  # it is not the host that had us wait
                return login(self.target, self.session)
        except errors.DeadlineError as error:
            return Attempt(Outcome.TIMED_OUT, error.summary)

    def out_of_patience(self) -> bool:
        return self.turned_away is not None and time.monotonic() - self.since >= self.pace.patience

    def error(self, last: Attempt) -> errors.ToolError:
        where = f"{self.target.user}@{self.target.address} port {self.target.port}"
        detail = f" ({last.detail})" if last.detail else ""
        within = f"within {time.monotonic() - self.began:.0f} s"
        summary = self.session.redact(f"no SSH login at {where} {within}: {counts(self.tried)}{detail}")
        kind: type[errors.ToolError] = errors.DeadlineError
        if last.outcome in _ANSWERS or set(self.tried) == {Outcome.DNS.value}:
            kind = ssh_outcomes.ERRORS[last.outcome]
        return kind(summary, self.session.redact(ssh.text_of(self.target, "true")), None, last.detail)


def counts(tried: Mapping[str, int]) -> str:
    """For people: how often each outcome came, in the order of the first."""
    return ", ".join(f"{number} × {outcome}" for outcome, number in tried.items())  # noqa: RUF001 - it is meant


def _login(target: ssh.Target, session: process.Session) -> Attempt:
    try:
        completed = process.run(ssh.command_of(target, "true", timeout_seconds=LOGIN_SECONDS), session)
    except errors.DeadlineError as error:
        return Attempt(Outcome.TIMED_OUT, error.summary)
    remote_scope.check(completed.exit_status, completed.stderr, session, ssh.text_of(target, "true"))
    return ssh.classify(completed, session)


def _banner(connection: socket.socket, session: process.Session, until: float) -> Attempt:
    """Read until `SSH-2.0-OpenSSH_9.2p1 Debian-2`, which other lines may precede (RFC 4253, 4.2)."""
    heard = b""
    while b"\nSSH-" not in b"\n" + heard and len(heard) < _MOST_BYTES and (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            data = connection.recv(256)
        except OSError:
            data = b""
        if not data:
            break
        heard += data
    if b"\nSSH-" in b"\n" + heard:
        return Attempt(Outcome.OK)
    return Attempt(Outcome.NO_BANNER, session.redact(heard.decode(errors="replace").strip()[:200]))
