"""Scope: under which name commands run on a host, so that a later run first ends what an earlier one still does."""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks import errors
from tasks.adapters import process

REFUSED = 94
STUCK = 95
CLOSED = ".closed"
_SCRIPTS = Path(__file__).with_name("remote")
# What the scripts say, alone on its line or in the middle of what Ansible says.
_REFUSED = re.compile(r"stepmark: refused: a later scope works here, ([\w./~-]+ in [\w./~-]+)")
_STUCK = re.compile(r"stepmark: stuck: [^\n\"\\]*")


@dataclass(frozen=True)
class Scope:
    """Whose commands they are. Of two scopes of an environment the later one has the greater run, then epoch.

    run: sorts by launch time. closed: the scope just after its own, in which nothing is to run: it ends what does.
    """

    environment: str
    run: str
    epoch: int
    closed: bool = False

    @property
    def name(self) -> str:
        """Sorts as text as the scopes do: `0190d3a7e0b1c4f2.00000002`."""
        return f"{self.run}.{self.epoch:08}{CLOSED if self.closed else ''}"

    def after(self) -> Scope:
        """The scope that refuses and ends all that is in this one."""
        return dataclasses.replace(self, closed=True)


def parse(environment: str, text: str) -> Scope | None:
    """The scope that a step calls `RUN.EPOCH`; None: it has none."""
    run, _, epoch = text.rpartition(".")
    return Scope(environment, run, int(epoch)) if run else None


def prefix(scope: Scope) -> str:
    """What to put before words of shell, `sh -c …`, to have a host run them in `scope`."""
    words = ("sh", "-c", 'eval "$1"', "stepmark", _text("enter"), _text("end"), scope.environment, scope.name)
    return f"exec /bin/{shlex.join(words)}"


def within(scope: Scope | None, command: str) -> str:
    """`command`, a line of shell, told to run in `scope`."""
    return command if scope is None else f"{prefix(scope)} /bin/sh -c {shlex.quote(command)}"


def check(exit_status: int, said: str, session: process.Session, shown: str) -> None:
    """Do nothing if the host let the command run. said: what it wrote; shown: the command, for people.

    Raises:
        LaterScopeError: a later scope works there. RemoteCommandError: what an earlier one does could not be ended.
    """
    if exit_status and (found := _REFUSED.search(said)):
        raise errors.LaterScopeError(f"a later run works on the host: {found[1]}", shown, exit_status)
    if exit_status and (found := _STUCK.search(said)):
        summary = f"{session.redact(found[0])}; end it on the host, or restart the host, then resume"
        raise errors.RemoteCommandError(summary, shown, exit_status)


@cache
def _text(name: str) -> str:
    lines = (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))
