"""Runs, states and times in the words and colours of the tables."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from tasks.environment import MISSING, STOPPED, State
from tasks.failure import FailureContext, RunStatus
from workers.overviewrow import Sight, Standing

if TYPE_CHECKING:  # who looks from afar need not import them
    from tasks.facts import PlanSummary
    from workers.records import DriftMark, EnvironmentRecord, RunRecord

Run: TypeAlias = "RunRecord | Sight"
"""A run as it is kept, or as it is seen from afar."""

_COLOURS = {"failed": "red", "lost": "red", "succeeded": "green", "running": "cyan"}
_COLOURS |= dict.fromkeys(("cancelled", "waiting"), "yellow")
_LOST = "nothing, while a worker lives (`stepmark worker list`): one goes on with it, or says why not"
_ONCE_CONFIGURED = (State.CONFIGURED, State.CONFIGURE_FAILED)
_GOOD_STATES = (State.CONFIGURED, State.PROVISIONED)
_MEND = "`stepmark provision --plan` shows what would be done, {}"
_ANEW = "`stepmark destroy {0}`, then `stepmark up --env {0}`"
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def span(seconds: float) -> str:
    """A length of time at a glance: `0.4 s`, `12 s`, `3m`, `2h 5m`, `4d 1h`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    parts: list[str] = []
    for size, unit in _UNITS:
        count, seconds = divmod(int(seconds), size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    return " ".join(filter(None, parts[:2]))


def moment(at: float | None) -> str:
    """Unix seconds as `2026-01-02 03:04:05Z`."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def place(record: Run) -> str:
    """Where a run is: `provision 5/9 opentofu-apply`; its workflow alone once it has ended well."""
    if record.status == RunStatus.SUCCEEDED:
        return f"{record.workflow} {record.total}/{record.total}"
    if record.index is None:
        return f"{record.workflow} 0/{record.total}"
    return f"{record.workflow} {record.index}/{record.total} {record.step}"


def plain_status(record: Run, *, timed: bool = True) -> str:
    """A run's status; if timed, how long it has been queued; `(partial)` if a step was not possible."""
    if timed and record.display == RunStatus.QUEUED and record.due_at:
        return f"{record.display} {span(record.read_at - record.due_at)}"
    return f"{record.display} (partial)" if record.partial else str(record.display)


def status(record: Run, *, timed: bool = True) -> str:
    """The same with its colour."""
    word, text = str(record.display), plain_status(record, timed=timed)
    colour = "yellow" if record.partial and word == "succeeded" else _COLOURS.get(word)
    return f"[{colour}]{text}[/]" if colour else text


def plain_state(record: EnvironmentRecord | Standing) -> str:
    """An environment's state, and what else is to be known of it."""
    marks = ", ".join(word for word, holds in (("partial", record.partial), ("drifted", record.drift)) if holds)
    return f"{record.state} ({marks})" if marks else str(record.state)


def state(record: EnvironmentRecord | Standing) -> str:
    """The same with its colour."""
    text = plain_state(record)
    if record.state.endswith("-failed"):
        return f"[red]{text}[/]"
    if record.state in _GOOD_STATES:
        return f"[{'yellow' if record.partial or record.drift else 'green'}]{text}[/]"
    return text


def seen_at(record: Run, at: float) -> Run:
    """The run, looked at a moment later."""
    if isinstance(record, Sight):
        return replace(record, read_at=at)
    later: RunRecord = record.model_copy(update={"read_at": at})
    return later


def planned(counts: PlanSummary, note: str) -> str:
    """A plan in one line: the counts, and what else the note of its step says, in which they come first too."""
    said, more = f"{counts.add} to add, {counts.change} to change, {counts.destroy} to destroy", note.partition("; ")[2]
    return f"{said}; {more}" if more else said


def drift(mark: DriftMark) -> str:
    """Drift in one line."""
    counts = f"{mark.add} to add, {mark.change} to change, {mark.destroy} to destroy"
    return f"drifted since {moment(mark.since)}: {counts}: {mark.summary}"


def mend_drift(record: EnvironmentRecord) -> str:
    """What is to be done about an environment's drift: a plan mends neither a host that does not run nor one lost."""
    summary = record.drift.summary if record.drift else ""
    anew = _ANEW.format(record.name)
    if MISSING in summary:
        return f"see by hand; {anew}"
    if STOPPED in summary and json.loads(record.spec)["provider"]["name"] == "sandbox":
        return f"a sandbox host is not started again: {anew}"
    if STOPPED in summary:
        return "start it at the provider, then `stepmark drift` again"
    if record.state in _ONCE_CONFIGURED:
        return _MEND.format("`stepmark up` does it, and configures the host again")
    return _MEND.format("`stepmark provision` does it")


def to_configure(record: EnvironmentRecord, run: RunRecord) -> bool:
    """Whether the run has made a host that had been configured one that is to be configured again."""
    before = run.origin_state in _ONCE_CONFIGURED and run.status is RunStatus.SUCCEEDED
    return before and record.state is State.PROVISIONED and record.last_run == run.run


def began(record: Run) -> float:
    """Unix time at which a run began: its first step's start, else that step was due, else it was written down."""
    return record.started_at or record.begun_at or record.created_at


def since(record: Run) -> float:
    """Unix time at which what the run is doing now began, or at which it ended."""
    if record.display == RunStatus.LOST and record.lease_until:
        return record.lease_until
    return record.ended_at or record.step_started_at or record.due_at or record.created_at


def advice(record: RunRecord) -> str:
    """What is to be done about a run that does not go well; empty: nothing."""
    if record.failure and not record.live:
        return record.failure.hint
    return _LOST if record.display is RunStatus.LOST else ""


def failure_lines(context: FailureContext) -> list[str]:
    """A failure in short, for people."""
    where = f"{context.workflow} {context.step_index}/{context.step_total} {context.failed_step}"
    lines = [f"{context.environment}: {where}: {context.error_kind.value}", f"  {context.error_summary}"]
    if context.command:
        exited = "" if context.exit_status is None else f" (exit status {context.exit_status})"
        lines.append(f"  command: {context.command}{exited}")
    tail = (context.output_tail or "").splitlines()[-5:]
    return [
        *lines,
        *(f"  | {line}" for line in tail),
        f"  trace:   stepmark trace {context.trace_id}",
        f"  next:    {context.hint}",
    ]
