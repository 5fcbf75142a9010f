"""What is shown while runs go on: a live table on a terminal, one line an event elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tasks.failure import RunStatus
from workers.cli import words
from workers.cli.outlook import Outlook
from workers.cli.watch import News
from workers.records import RunRecord

_FRAME_LINES = 6
_HEADLINE_SECONDS = 5.0
_ORDER = (
    *(RunStatus.LOST, RunStatus.FAILED, RunStatus.CANCELLED),
    *(RunStatus.WAITING, RunStatus.RUNNING, RunStatus.QUEUED),
)


@dataclass(frozen=True)
class View:
    """What is shown beside the news: where the runs are, what lies around them, and a warning or nothing.

    headline: of all of them together, with colours; or nothing.
    """

    records: Sequence[RunRecord]
    outlook: Outlook
    warning: str = ""
    headline: str = ""


class Display(Protocol):
    """Shows how runs go on, for as long as the block lasts that it is entered for."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def update(self, news: Iterable[News], view: View) -> None:
        """Show what happened, and the view."""
        ...


def display(console: Console) -> Display:
    """The display that suits the console."""
    return LiveTable(console) if console.is_terminal else Lines(console)


class Lines:
    """One line an event; a warning once, once an epoch that a run is lost, and every few seconds the headline."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._warned = ""
        self._headline, self._said_at = "", 0.0
        self._lost: set[tuple[str, int]] = set()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def update(self, news: Iterable[News], view: View) -> None:
        """Print a line for each of the news, and for each run that is lost now."""
        for fields in news:
            self._console.print(Text(line(fields)))
        for record in view.records:
            if record.display is RunStatus.LOST and (record.run, record.epoch) not in self._lost:
                self._lost.add((record.run, record.epoch))
                self._console.print(Text(lost_line(record, view.outlook)))
        if view.warning and not self._warned:
            self._console.print(Text(view.warning))
        self._warned = view.warning
        if view.headline != self._headline and time.monotonic() - self._said_at > _HEADLINE_SECONDS:
            self._headline, self._said_at = view.headline, time.monotonic()
            self._console.print(view.headline)


class LiveTable:
    """A table that is redrawn in place: the runs that need a look first, and no more than the terminal holds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def update(self, news: Iterable[News], view: View) -> None:  # noqa: ARG002 - Display's
        """Draw the table anew."""
        self._live.update(self._draw(view))

    def _draw(self, view: View) -> RenderableType:
        room = max(self._console.height - _FRAME_LINES, 3)
        records = view.records if len(view.records) <= room else sorted(view.records, key=_urgency)
        parts: list[RenderableType] = [Text.from_markup(view.headline)] if view.headline else []
        parts.append(table(records[:room], view.outlook))
        if hidden := Counter(record.display.value for record in records[room:]):
            parts.append(Text("and " + ", ".join(f"{count} {status}" for status, count in hidden.items()), style="dim"))
        if view.warning:
            parts.append(Text(view.warning, style="yellow"))
        return Group(*parts)


def table(records: Iterable[RunRecord], outlook: Outlook) -> Table:
    """Runs as a table: environment, workflow, step, status, time, note."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("environment", "run", "status", "for", "note"):
        made.add_column(heading, no_wrap=True, overflow="ellipsis")
    for record in records:
        elapsed = words.span(record.read_at - words.since(record)) if record.ended_at is None else _took(record)
        note = escape(outlook.note(record))
        made.add_row(record.environment, words.place(record), words.status(record), elapsed, note)
    return made


def line(fields: News) -> str:
    """One of the news as a line: `12:00:01 web-1 provision 5/9 opentofu-apply: done in 2.1 s`."""
    at = datetime.fromtimestamp(float(fields["at"]), UTC).strftime("%H:%M:%S")
    run = f"{fields['workflow']} {fields['index']}/{fields['total']} {fields['step']}"
    if fields["event"] in ("launched", "run-ended"):
        run = fields["workflow"]
    return f"{at} {fields['environment']} {run}: {_happened(fields)}"


def lost_line(record: RunRecord, outlook: Outlook) -> str:
    """That a run is lost, as a line: nothing happens to a run by which it would be told as news."""
    at = datetime.fromtimestamp(record.lease_until or record.read_at, UTC).strftime("%H:%M:%S")
    return f"{at} {record.environment} {words.place(record)}: lost: {outlook.note(record)}"


def _happened(fields: News) -> str:
    note = f": {fields['note']}" if fields.get("note") else ""
    match fields["event"]:
        case "launched" | "resumed":
            return f"{fields['event']} by {fields['user']}"
        case "step-started":
            return f"started on {fields['worker']}" + (
                f", attempt {fields['attempt']}" if fields["attempt"] != "1" else ""
            )
        case "step-ended":
            return f"{fields['ending']} in {words.span(float(fields['seconds']))}{note}"
        case "run-ended":
            return f"succeeded, {fields['state']}" + (" (partial)" if fields.get("partial") == "1" else "")
        case "step-failed":
            wait = words.span(float(fields["retry_at"]) - float(fields["at"]))
            return f"failed, {fields['kind']}: {fields['summary']}; tried again in {wait}"
        case "run-failed":
            ended = "" if fields.get("status") == "cancelled" else f"failed, {fields['kind']}: "
            return f"{ended}{fields['summary']}"
        case other:
            return _went_on(other, fields)


def _went_on(event: str, fields: News) -> str:
    match event:
        case "retry":
            return "its time has come to be tried again"
        case "taken-over":
            return f"taken over: worker {fields['worker']} is not heard of any more"
        case "handed-over":
            return f"handed over by worker {fields['worker']}, which stops"
        case "sent-again":
            return "sent again: no worker has its message"
        case "cancel-asked":
            return f"to be cancelled by {fields['user']}: {fields['reason'] or 'no reason given'}"
    return event


def _took(record: RunRecord) -> str:
    return words.span((record.ended_at or record.read_at) - (record.begun_at or words.began(record)))


def _urgency(record: RunRecord) -> tuple[int, str]:
    place = _ORDER.index(record.display) if record.display in _ORDER else len(_ORDER)
    return place, record.environment
