"""Outlook: what lies around all runs, and what therefore is to be said of each of them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.errors import Kind
from tasks.failure import RunStatus
from workers import pause, registry, succession
from workers.cli.words import advice, moment, span
from workers.pause import Pause
from workers.records import RunRecord
from workers.runtime import Base


@dataclass(frozen=True)
class Outlook:
    """How things are for all runs.

    paused: None means that steps start. workers: whether any lives. takeover_seconds: after a lease has lapsed.
    takeovers: how often a step is tried again whose worker, or process, was lost.
    """

    paused: Pause | None = None
    workers: bool = True
    takeover_seconds: float = 0.0
    takeovers: int = 0

    def note(self, record: RunRecord, *, last: bool = True) -> str:
        """What is to be said of a run beside its place and status; empty: nothing.

        last: if there is nothing else, what the last step that ended has left as its note.
        """
        match record.display:
            case RunStatus.WAITING | RunStatus.FAILED | RunStatus.CANCELLED if record.failure:
                found = f"{record.failure.error_kind.value}: {record.failure.error_summary}"
                return f"{self._next_attempt(record)}: {found}" if record.display is RunStatus.WAITING else found
            case RunStatus.LOST:
                return f"worker {record.worker} is not heard of; {self._takeover(record)}"
        return self.brief(record) or (record.completed[-1].note if last and record.completed else "")

    def advice(self, record: RunRecord) -> str:
        """What is to be done about it; empty: nothing."""
        if record.display is RunStatus.LOST and not self.workers:
            return "start one (`stepmark worker`): it goes on with the run, or says why not"
        return advice(record)

    def brief(self, record: RunRecord) -> str:
        """The same, where there is room for a word or two only."""
        kind = record.failure.error_kind.value if record.failure else ""
        match record.display:
            case RunStatus.WAITING:
                return f"{self._next_attempt(record)}: {kind}"
            case RunStatus.LOST:
                return self._takeover(record)
            case RunStatus.QUEUED if self.paused:
                return "all is paused"
            case RunStatus.QUEUED | RunStatus.RUNNING if record.earlier:
                return f"again, after {record.earlier[-1].kind.value}"
        return kind

    def _next_attempt(self, record: RunRecord) -> str:
        step = succession.step_of(record)
        tried, most = record.retried, step.retry.attempts if step else record.retried + 1
        if record.failure and record.failure.error_kind is Kind.WORKER_LOST:
            tried, most = record.taken, self.takeovers + 1
        if self.paused:
            when = "when all goes on"
        else:
            when = f"in {span(max(0.0, (record.due_at or record.read_at) - record.read_at))}"
        return f"attempt {tried + 1}/{most} {when}"

    def _takeover(self, record: RunRecord) -> str:
        if not self.workers:
            return "no worker lives that could take it over"
        if self.paused:
            return "taken over when all goes on"
        return f"taken over in about {span(max(1.0, record.free_at(self.takeover_seconds) - record.read_at))}"


def read(base: Base) -> Outlook:
    """How things are now."""
    heard = base.client.zcount(base.keys.workers(), base.now() - registry.SILENT_SECONDS, "+inf")
    settings = base.settings
    return Outlook(pause.read(base), bool(heard), settings.takeover_seconds, settings.takeovers)


def words(paused: Pause) -> str:
    """Who paused all, since when, and why."""
    return f"All is paused by {paused.by} since {moment(paused.at)}: {paused.reason or 'no reason given'}"
