"""What happened in a play, from the lines of the event plugin, and which error a play that failed is."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks import errors
from tasks.adapters import process, ssh_outcomes
from tasks.adapters.ssh_outcomes import Outcome

SUMMARY_CHARACTERS = 400

_PREFIX = re.compile(r"^(Task failed: )?(Failed to connect to the host via ssh: )?")
_TEMPLATE = re.compile(r"is undefined|undefined variable|has no attribute|[Ss]yntax error in (?:template|expression)")


class Event(BaseModel):
    """One line of the plugin, which documents it: `{"event": "ok", "name": "Install ufw", "changed": true}`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: str
    name: str = ""
    module: str = ""
    changed: bool = False
    ignored: bool = False
    msg: str = ""
    rc: int | None = None
    stderr: str = ""


def read(path: Path) -> tuple[Event, ...]:
    """The events in `path`; none if it was never written. A line that a kill cut short is left out."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return tuple(event for line in lines if (event := _event(line)) is not None)


def problem(
    events: Sequence[Event], completed: process.Completed, redact: Callable[[str], str]
) -> errors.StepmarkError | None:
    """The error that the play ended with, or None: first what the events say, then the exit status and the output."""
    if completed.exit_status == 0 and any(e.event == "ok" for e in events):
        return None
    failure = _Failure(completed, redact)
    if completed.exit_status == 0:
        return failure.tool(errors.PlaybookError, "the playbook ran no task")
    ending = _signal(completed.exit_status)
    if ending is not None:
        return failure.tool(errors.RemoteCommandError, f"ansible-playbook was ended by signal {ending}")
    # The last one: those before it were rescued.
    event = next((e for e in reversed(events) if e.event in ("failed", "unreachable") and not e.ignored), None)
    if event is not None:
        return failure.unreachable(event) if event.event == "unreachable" else failure.task(event)
    return failure.tool(errors.PlaybookError, f"the playbook could not be run: {_complaint(completed.stderr)}")


def was_killed(completed: process.Completed) -> bool:
    """Whether a signal ended it, and not we: what it had begun on the host goes on there."""
    return _signal(completed.exit_status) is not None


@dataclass(frozen=True)
class _Failure:
    completed: process.Completed
    redact: Callable[[str], str]

    def unreachable(self, event: Event) -> errors.StepmarkError:
        attempt = ssh_outcomes.classify(255, _PREFIX.sub("", event.msg))
        kind = ssh_outcomes.ERRORS[attempt.outcome]
        # What SSH does not explain is still no command that failed: none was run.
        kind = errors.NetworkError if kind is errors.RemoteCommandError else kind
        if attempt.outcome is Outcome.AUTHENTICATION:
            return self.tool(kind, f"the host refuses the login: {attempt.detail}")
        return self.tool(kind, f"the host cannot be reached: {attempt.outcome}: {attempt.detail}")

    def task(self, event: Event) -> errors.StepmarkError:
        """Asserts in our playbooks check the operator's parameters, and nothing else."""
        if event.module in ("ansible.builtin.assert", "assert"):
            return errors.ConfigurationError(self.line(event.msg))
        if _TEMPLATE.search(event.msg):
            return errors.TemplateError(f"of task '{event.name}'", self.line(_PREFIX.sub("", event.msg)))
        reason = ": ".join(part for part in (event.msg, _last(event.stderr)) if part)
        return self.tool(errors.RemoteCommandError, f"task '{event.name}' failed: {reason}")

    def tool(self, kind: type[errors.ToolError], summary: str) -> errors.ToolError:
        command = self.redact(shlex.join(self.completed.command.argv))
        return kind(self.line(summary), command, self.completed.exit_status, self.completed.tail)

    def line(self, text: str) -> str:
        return self.redact(" ".join(text.split()))[:SUMMARY_CHARACTERS]


def _event(line: bytes) -> Event | None:
    try:
        return Event.model_validate_json(line)
    except ValidationError:
        return None


def _signal(exit_status: int) -> int | None:
    """The signal that ended it, if one did. Ansible itself makes 99 of an interrupt."""
    if exit_status == 99:
        return signal.SIGINT
    return -exit_status if exit_status < 0 else exit_status - 128 if exit_status > 128 else None


def _last(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _complaint(stderr: str) -> str:
    """The first error among the warnings: `[ERROR]: …` since 2.19, `ERROR! …` before."""
    found = re.search(r"^(?:\[ERROR\]:|ERROR!|ERROR:)\s*(.+)", stderr, re.MULTILINE)
    return found.group(1) if found else _last(stderr)
