"""Runs, states and times in the words and colours of the tables."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.environment import State
from tasks.failure import FailureContext, RunStatus
from workers.records import DriftMark, EnvironmentRecord, RunRecord

_COLOURS = {"failed": "red", "lost": "red", "succeeded": "green", "running": "cyan"}
_COLOURS |= dict.fromkeys(("cancelled", "waiting"), "yellow")
_LOST = "nothing, while a worker lives (`stepmark worker list`): one goes on with it, or says why not"
_GOOD_STATES = (State.CONFIGURED, State.PROVISIONED)
MEND_DRIFT = "`stepmark provision --plan` shows what would be done, `stepmark provision` does it"
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


def place(record: RunRecord) -> str:
    """Where a run is: `provision 5/9 opentofu-apply`; its workflow alone once it has ended well."""
    if record.status is RunStatus.SUCCEEDED:
        return f"{record.workflow} {record.total}/{record.total}"
    if record.index is None:
        return f"{record.workflow} 0/{record.total}"
    return f"{record.workflow} {record.index}/{record.total} {record.step}"


def status(record: RunRecord, *, timed: bool = True) -> str:
    """A run's status with its colour; `(partial)` if a step was not possible; if timed, how long it has been queued."""
    word = record.display.value
    text = word + (" (partial)" if record.partial else "")
    if timed and record.display is RunStatus.QUEUED and record.due_at:
        text = f"{word} {span(record.read_at - record.due_at)}"
    colour = "yellow" if record.partial and word == "succeeded" else _COLOURS.get(word)
    return f"[{colour}]{text}[/]" if colour else text


def state(record: EnvironmentRecord) -> str:
    """An environment's state with its colour, and what else is to be known of it."""
    marks = ", ".join(word for word, holds in (("partial", record.partial), ("drifted", record.drift)) if holds)
    text = record.state.value + (f" ({marks})" if marks else "")
    if record.state.value.endswith("-failed"):
        return f"[red]{text}[/]"
    if record.state in _GOOD_STATES:
        return f"[{'yellow' if marks else 'green'}]{text}[/]"
    return text


def drift(mark: DriftMark) -> str:
    """Drift in one line."""
    counts = f"{mark.add} to add, {mark.change} to change, {mark.destroy} to destroy"
    return f"drifted since {moment(mark.since)}: {counts}: {mark.summary}"


def began(record: RunRecord) -> float:
    """Unix time at which a run began: its first step's start, else that step was due, else it was written down."""
    return record.started_at or record.begun_at or record.created_at


def since(record: RunRecord) -> float:
    """Unix time at which what the run is doing now began, or at which it ended."""
    if record.display is RunStatus.LOST and record.lease_until:
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
