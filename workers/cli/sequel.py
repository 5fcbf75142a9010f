"""Sequel: what became of a run after a failure of it that was kept."""

from __future__ import annotations

from tasks.failure import FailureContext
from workers.cli import words
from workers.records import RunRecord
from workers.runtime import Base

_GOING_ON = {
    "retry": "it was tried again by itself",
    "taken-over": "another worker took it over",
    "handed-over": "its worker stopped and handed it over",
    "sent-again": "its message was sent again",
}


def of(base: Base, context: FailureContext) -> str:
    """How the run has gone on after that failure, and where it is now; empty: it has not, or nobody knows any more."""
    run = base.store.runs([context.run_id]).get(context.run_id)
    if run is None:
        return ""
    if run.failure and run.failure.trace_id == context.trace_id:
        return "it waits to be tried again by itself" if run.live else _after(base, run)
    return f"{_how(base, context)}; now {words.place(run)}: {run.display.value}"


def _how(base: Base, context: FailureContext) -> str:
    """By the first event that ended the failure's epoch."""
    for event in base.store.events(context.run_id):
        epoch = int(event.get("epoch") or 0)
        if event["event"] == "resumed" and epoch > context.epoch:
            return f"{event['user']} had it go on"
        if event["event"] in _GOING_ON and epoch == context.epoch:
            return _GOING_ON[event["event"]]
    return "the run went on"


def _after(base: Base, run: RunRecord) -> str:
    """The run that the environment is in, or was in last, if that is another one."""
    records = (record for record in base.store.environments() if record.name == run.environment)
    later = next((record.current_run for record in records), None)
    now = base.store.runs([later]).get(later) if later and later != run.run else None
    return f"another run has begun since, {now.run}: {words.place(now)}: {now.display.value}" if now else ""
