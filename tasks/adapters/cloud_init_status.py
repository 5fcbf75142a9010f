"""Wait for a host's cloud-init. Manual: https://docs.cloud-init.io/en/latest/reference/cli.html#status."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from tasks import errors
from tasks.adapters import process, ssh, turns
from tasks.facts import CloudInit

ABSENT = 93
# 0, 1 and 2 mean different things in different versions; the words mean the same in all of them.
STATUSES = (0, 1, 2, ABSENT)
COMMAND = (
    f"command -v cloud-init >/dev/null || exit {ABSENT}; "
    "cloud-init status --format json 2>/dev/null || cloud-init status --long"
)
ASK_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
_ENDED = ("done", "error", "disabled", "degraded")


def wait(target: ssh.Target, session: process.Session) -> CloudInit | None:
    """Ask until cloud-init has ended; None: the host has no cloud-init. A host that restarts meanwhile is waited for.

    Raises:
        RemoteCommandError: it ended with an error, which the summary names.
        DeadlineError: the session's time passed first.
        AuthenticationError, LeaseLostError, ToolMissingError: as `ssh.run_remote` does.
    """
    pause, said = FIRST_PAUSE_SECONDS, ""
    with turns.POLLING.member():
        while True:
            completed, now = _ask(target, session)
            if completed and completed.exit_status == ABSENT:
                return None
            if completed and (found := ended(completed.stdout)):
                return _good(found, target, completed, session)
            if session.deadline <= time.monotonic():
                summary = f"cloud-init did not end in time: {said or now}"
                raise errors.DeadlineError(summary, ssh.text_of(target, COMMAND))
            if now != said:
                session.write(now)
            said = now
            session.lifeline.wait(min(max(pause, turns.POLLING.pause_seconds), session.deadline - time.monotonic()))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


def _ask(target: ssh.Target, session: process.Session) -> tuple[process.Completed | None, str]:
    """Ask once; None: there was no answer. And in words, how far it is."""
    try:
        with turns.POLLS.turn(session):
            # A host that hangs must not keep the others' turns.
            brief = dataclasses.replace(session, deadline=min(session.deadline, time.monotonic() + ASK_SECONDS))
            completed = ssh.run_remote(target, COMMAND, brief, statuses=STATUSES)
    except (errors.NetworkError, errors.DeadlineError) as error:
        return None, error.summary
    return completed, f"cloud-init is {status(completed.stdout)}"


def ended(stdout: str) -> CloudInit | None:
    """What cloud-init came to, from its JSON or its text; None: it has not ended.

    `{"status": "done", "extended_status": "degraded done", "errors": [], "recoverable_errors": {"WARNING": ["…"]}}`
    """
    report = _report(stdout)
    status = str(report.get("status", ""))
    extended = str(report.get("extended_status", status))
    if status not in _ENDED or "running" in extended:
        return None
    found = [str(error) for error in report.get("errors") or ()]
    if status == "error":
        return CloudInit(status=status, errors=tuple(found or filter(None, [str(report.get("detail", ""))])))
    found += [str(error) for several in (report.get("recoverable_errors") or {}).values() for error in several]
    degraded = status == "degraded" or "degraded" in extended
    return CloudInit(status="degraded" if degraded else status, errors=tuple(found))


def status(stdout: str) -> str:
    """Its word for how far it is: `running`, or `not started`."""
    return str(_report(stdout).get("status") or "silent")


def _report(stdout: str) -> Mapping[str, Any]:
    text = stdout.lstrip()
    if not text.startswith("{"):
        return _text_report(text)
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text_report(text: str) -> Mapping[str, Any]:
    """Read what older versions say: `status: error`, `time: …`, `detail:` and its lines below."""
    words = dict(re.findall(r"^(status|extended_status): *(\S.*)$", text, re.MULTILINE))
    detail = re.search(r"^detail: *\n?(.*(?:\n(?!\w+:).*)*)", text, re.MULTILINE)
    return {
        **words,
        "detail": " ".join(detail[1].split()) if detail else "",
        "errors": re.findall(r"^\t- (.*)$", text, re.MULTILINE),
    }


def _good(found: CloudInit, target: ssh.Target, completed: process.Completed, session: process.Session) -> CloudInit:
    said = tuple(session.redact(error) for error in found.errors)
    if found.status != "error":
        return CloudInit(status=found.status, errors=said)
    summary = f"cloud-init ended with an error: {said[0] if said else 'it does not say which'}"
    command = ssh.text_of(target, "cloud-init status --long")
    raise errors.RemoteCommandError(summary, command, completed.exit_status, "\n".join(said) or completed.tail)
