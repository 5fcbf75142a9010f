"""What is shown while runs go on: a live table on a terminal, one line an event elsewhere."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
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
from workers.cli.news import News
from workers.cli.outlook import Outlook
from workers.cli.words import Run

# How long what is drawn may stay while something happens, and while nothing does.
_FRAME_SECONDS = 0.05
_STILL_SECONDS = 0.5
_HEADLINE_SECONDS = 5.0
_FRAME_LINES = 7
_ORDER: dict[str, int] = {
    status: place
    for place, status in enumerate(
        (
            *(RunStatus.LOST, RunStatus.FAILED, RunStatus.CANCELLED),
            *(RunStatus.WAITING, RunStatus.RUNNING, RunStatus.QUEUED),
        )
    )
}


@dataclass(frozen=True)
class View:
    """What is shown beside the news: where the runs are, what lies around them, and a warning or nothing.

    at: the time, in Unix seconds by Redis. headline: of all of them together, with colours; or nothing.
    """

    runs: Collection[Run]
    outlook: Outlook
    at: float
    warning: str = ""
    headline: str = ""


class Watched(Protocol):
    """What is followed until it is over."""

    @property
    def over(self) -> bool:
        """Whether nothing of it goes on."""
        ...

    def poll(self, seconds: float) -> list[News]:
        """What has happened since; waits so long if it was nothing."""
        ...


class Display(Protocol):
    """Shows how runs go on, for as long as the block lasts that it is entered for.

    redrawn: by what has happened; else that is told, and how it is now changes slowly.
    """

    redrawn: bool

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def tell(self, news: Iterable[News]) -> None:
        """Say what happened."""
        ...

    def show(self, view: View) -> None:
        """Show how it is now."""
        ...


def display(console: Console) -> Display:
    """The display that suits the console."""
    return LiveTable(console) if console.is_terminal else Lines(console)


def follow(
    console: Console, watched: Watched, look: Callable[[], View], wanted: Callable[[News], bool] | None = None
) -> None:
    """Show how it goes on until it is over. look: at how it is now. wanted: of the news; None: all."""
    pace = Pace()
    with display(console) as shown:
        while not watched.over:
            if pace.left_seconds <= 0:
                with pace.drawing():
                    shown.show(look())
            if pace.stale:
                time.sleep(max(0.0, pace.left_seconds))
            news = watched.poll(0.0 if pace.stale else max(0.0, pace.left_seconds))
            shown.tell(filter(wanted, news))
            pace.stale = pace.stale or (bool(news) and shown.redrawn)
        shown.tell(filter(wanted, watched.poll(0.0)))  # that it is over may have been seen before the news of it
        shown.show(look())


class Pace:
    """When it is time to draw anew. stale: something has happened since; then it is soon."""

    def __init__(self) -> None:
        self.stale = False
        self._began_at = self._ended_at = -_STILL_SECONDS

    @property
    def left_seconds(self) -> float:
        """Until then. To draw takes half of the time at most."""
        pause = max(_FRAME_SECONDS, (self._ended_at - self._began_at)) if self.stale else _STILL_SECONDS
        return self._ended_at + pause - time.monotonic()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """While it is drawn."""
        self._began_at, self.stale = time.monotonic(), False
        yield
        self._ended_at = time.monotonic()


class Lines:
    """One line an event; a warning once, once an epoch that a run is lost, and every few seconds the headline."""

    redrawn = False

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

    def tell(self, news: Iterable[News]) -> None:
        """Print a line for each of the news."""
        self._print(map(line, news))

    def show(self, view: View) -> None:
        """Print a line for each run that is lost now."""
        lost = [run for run in view.runs if run.display == RunStatus.LOST and (run.run, run.epoch) not in self._lost]
        self._lost |= {(run.run, run.epoch) for run in lost}
        self._print(lost_line(run, view.outlook) for run in lost)
        if view.warning and not self._warned:
            self._print([view.warning])
        self._warned = view.warning
        if view.headline != self._headline and time.monotonic() - self._said_at > _HEADLINE_SECONDS:
            self._headline, self._said_at = view.headline, time.monotonic()
            self._console.print(view.headline)

    def _print(self, lines: Iterable[str]) -> None:
        # Not by the console: it lays out each line, which takes longer than all the rest.
        text = "".join(f"{''.join(filter(str.isprintable, each))}\n" for each in lines)
        self._console.file.write(text)
        self._console.file.flush()


class LiveTable:
    """A table that is redrawn in place: the runs that need a look first, and no more than the terminal holds."""

    redrawn = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def tell(self, news: Iterable[News]) -> None:
        """Nothing: the table says it."""

    def show(self, view: View) -> None:
        """Draw the table anew."""
        self._live.update(self._draw(view), refresh=True)

    def _draw(self, view: View) -> RenderableType:
        room = max(self._console.height - _FRAME_LINES, 3)
        runs, parts = list(view.runs), [Text.from_markup(view.headline)] if view.headline else []
        more: list[RenderableType] = []
        if len(runs) > room:
            counts = Counter(str(run.display) for run in runs)
            runs = heapq.nsmallest(room, runs, key=_urgency)
            parts.append(Text(f"{counts.total()} runs: {_counted(counts)}"))
            counts.subtract(str(run.display) for run in runs)
            more.append(Text(f"and {_counted(+counts)}", style="dim"))
        if view.warning:
            more.append(Text(view.warning, style="yellow"))
        return Group(*parts, table(runs, view.outlook, view.at), *more)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def table(runs: Iterable[Run], outlook: Outlook, at: float | None = None) -> Table:
    """Runs as a table: environment, workflow, step, status, time, note. at: now; None: when they were read."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("environment", "run", "status", "for", "note"):
        made.add_column(heading, no_wrap=True, overflow="ellipsis")
    for each in runs:
        run = each if at is None else words.seen_at(each, at)
        elapsed = words.span(run.read_at - words.since(run)) if run.ended_at is None else _took(run)
        made.add_row(run.environment, words.place(run), words.status(run), elapsed, escape(outlook.note(run)))
    return made


def line(fields: News) -> str:
    """One of the news as a line: `12:00:01 web-1 provision 5/9 opentofu-apply: done in 2.1 s`."""
    at = datetime.fromtimestamp(float(fields["at"]), UTC).strftime("%H:%M:%S")
    run = f"{fields['workflow']} {fields['index']}/{fields['total']} {fields['step']}"
    if fields["event"] in ("launched", "run-ended"):
        run = fields["workflow"]
    return f"{at} {fields['environment']} {run}: {_happened(fields)}"


def lost_line(record: Run, outlook: Outlook) -> str:
    """That a run is lost, as a line: nothing happens to a run by which it would be told as news."""
    at = datetime.fromtimestamp(record.lease_until or record.read_at, UTC).strftime("%H:%M:%S")
    return f"{at} {record.environment} {words.place(record)}: lost: {outlook.note(record)}"


def _happened(fields: News) -> str:
    note = f": {fields['note']}" if fields.get("note") else ""
    match fields["event"]:
        case "resumed" if fields.get("trigger", "").startswith("skip by "):
            return f"its step is left out by {fields['user']}"
        case "step-started" if fields.get("left_out"):
            return "is left out"
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


def _took(record: Run) -> str:
    return words.span((record.ended_at or record.read_at) - (record.begun_at or words.began(record)))


def _urgency(run: Run) -> tuple[int, float, str]:
    """The latest of those that went wrong first; the others by name, so that they stay where they are."""
    place = _ORDER.get(run.display, len(_ORDER))
    return place, -(run.ended_at or 0.0), run.environment
