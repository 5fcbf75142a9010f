"""Outlook: what lies around all runs, and what therefore is to be said of each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.settings import Settings
from tasks.errors import Kind
from tasks.failure import RunStatus
from workers.cli.words import Run, advice, moment, span
from workers.notices import Pause
from workers.overview import Overview, Overviews

if TYPE_CHECKING:
    from workers.records import RunRecord
    from workers.runtime import Base

_START = "start one: `stepmark worker`"
_TAKE = "start one (`stepmark worker`), or have a drained one take steps again (`stepmark worker drain NAME --off`)"


@dataclass(frozen=True)
class Outlook:
    """How things are for all runs.

    paused: None means that steps start. workers: whether any lives. takeover_seconds: after a lease has lapsed.
    queues: of which a worker takes steps; None: nobody has looked.
    """

    paused: Pause | None = None
    workers: bool = True
    takeover_seconds: float = 0.0
    queues: frozenset[str] | None = None

    def note(self, record: Run, *, last: bool = True) -> str:
        """What is to be said of a run beside its place and status; empty: nothing.

        last: if there is nothing else, what the last step that ended has left as its note.
        """
        match record.display:
            case RunStatus.WAITING | RunStatus.FAILED | RunStatus.CANCELLED if record.kind:
                found = f"{record.kind}: {record.told}" if record.told else record.kind
                return f"{self._next_attempt(record)}: {found}" if record.display == RunStatus.WAITING else found
            case RunStatus.LOST:
                return f"worker {record.worker} is not heard of; {self._takeover(record)}"
        return self.brief(record) or (record.told if last else "")

    def advice(self, record: RunRecord) -> str:
        """What is to be done about it; empty: nothing."""
        if record.display is RunStatus.LOST and not self.workers:
            return "start one (`stepmark worker`): it goes on with the run, or says why not"
        if record.display is RunStatus.QUEUED and not self.paused and self.unserved(record.queue):
            return _TAKE if self.workers else _START
        return advice(record)

    def brief(self, record: Run) -> str:
        """The same, where there is room for a word or two only."""
        match record.display:
            case RunStatus.WAITING:
                return f"{self._next_attempt(record)}: {record.kind}"
            case RunStatus.LOST:
                return self._takeover(record)
            case RunStatus.QUEUED if self.paused:
                return "all is paused"
            case RunStatus.QUEUED if self.unserved(record.queue):
                return f"no worker takes steps of `{record.queue}`"
            case RunStatus.QUEUED | RunStatus.RUNNING if record.again:
                return f"again, after {record.again}"
        return record.kind

    def unserved(self, queue: str) -> bool:
        """Whether it is known that no worker takes steps of the queue."""
        return self.queues is not None and bool(queue) and queue not in self.queues

    def _next_attempt(self, record: Run) -> str:
        tried = record.taken if record.kind == Kind.WORKER_LOST else record.retried
        if self.paused:
            when = "when all goes on"
        else:
            when = f"in {span(max(0.0, (record.due_at or record.read_at) - record.read_at))}"
        of = f"/{record.most}" if record.most else ""
        return f"attempt {tried + 1}{of} {when}"

    def _takeover(self, record: Run) -> str:
        if not self.workers:
            return "no worker lives that could take it over"
        if self.paused:
            return "taken over when all goes on"
        return f"taken over in about {span(max(1.0, record.free_at(self.takeover_seconds) - record.read_at))}"


def of(found: Overview, settings: Settings) -> Outlook:
    """How things are, by a look at the fleet."""
    paused = Pause.model_validate_json(found.paused) if found.paused else None
    return Outlook(paused, bool(found.workers), settings.takeover_seconds, found.queues)


def read(base: Base) -> Outlook:
    """How things are now."""
    return of(Overviews(base.client, base.keys).around(), base.settings)


def words(paused: Pause) -> str:
    """Who paused all, since when, and why."""
    return f"All is paused by {paused.by} since {moment(paused.at)}: {paused.reason or 'no reason given'}"
