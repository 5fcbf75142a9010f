"""`cancel`."""

from __future__ import annotations

from typing import Annotated, cast

import typer
from rich.markup import escape

from tasks.failure import RunStatus
from workers import callbacks, verbs
from workers.cli import connect, enqueue, options, output, words
from workers.cli.enqueue import Manner
from workers.records import RunRecord
from workers.refusals import HeldError, NotFoundError, RefusedError
from workers.runtime import Base

Which = Annotated[
    list[str],
    typer.Argument(metavar="ENV|RUN...", help="Environments or runs.", autocompletion=options.complete_environment),
]


def cancel(
    which: Which,
    reason: options.Reason = "",
    detach: options.Detach = False,
    as_json: options.Json = False,
) -> int:
    """End runs that go on, wherever they are. Programs are interrupted, what they saved is kept; `resume` goes on.

    Example: stepmark cancel web-3 --reason "wrong size"
    """
    base = connect.base()
    asked = [_named(base, name) for name in dict.fromkeys(which)]
    manner = Manner(detach, as_json, RunStatus.CANCELLED)
    starts = {record.environment: Cancellation(base, record, reason, patient=not detach) for record in asked}
    return enqueue.finish(base, starts, manner)


class Cancellation:
    """The start of an end. Called again until nothing is left to do here; refuses a run that has ended."""

    def __init__(self, base: Base, record: RunRecord, reason: str, *, patient: bool) -> None:
        self._base = base
        self._record = record
        self._reason = reason
        self._patient = patient
        self._marked = False

    def __call__(self) -> str:
        """Mark the run, and end it at once if nobody works on it. Its id.

        Raises:
            RefusedError: it has ended. HeldError: its worker is lost, and its tools may still be at work.
        """
        if not self._marked:
            self._record = self._mark(self._record)
            self._marked = True
        self._end(self._base.store.run(self._record.run))
        return self._record.run

    def _mark(self, record: RunRecord) -> RunRecord:
        now = _present(self._base, record)
        if self._base.tracker.cancel(now, verbs.whoami(), self._reason)[0] != "ok":
            raise _ended(self._base.store.run(now.run))
        return now

    def _end(self, record: RunRecord) -> None:
        mark = cast("str | None", self._base.client.hget(self._base.keys.cancels(), record.run))
        if mark is None or record.display is RunStatus.RUNNING:
            return
        answer = callbacks.cancelled(self._base, record, mark)
        if answer[0] == "held" and self._patient:
            seconds = float(answer[1])
            advice = f"its tools may still be at work; it is ended in {seconds:.0f} s"
            raise HeldError(f"the run of {record.environment} is lost", advice, seconds)


def _named(base: Base, which: str) -> RunRecord:
    """The run that is meant: by its id, or the one that its environment is in, or was in last.

    Raises:
        NotFoundError: there is none.
    """
    if found := base.store.runs([which]).get(which):
        return found
    try:
        environment = base.store.environment(which)
    except NotFoundError as error:
        raise NotFoundError(f"environment or run {which!r}") from error
    return base.store.run(environment.run) if environment.run else connect.last_run(base, environment)


def _present(base: Base, record: RunRecord) -> RunRecord:
    """The live run that is meant: this one, or the one that it has handed over to.

    Raises:
        RefusedError: it has ended, or has not begun.
    """
    now = base.store.run(record.run)
    if now.status is RunStatus.PENDING:
        before = f"`stepmark cancel {now.environment}` cancels the run before it"
        raise RefusedError(f"run {now.run} of {now.environment} has not begun", before)
    following = base.store.runs([now.next]).get(now.next) if now.next else None
    if now.status is RunStatus.SUCCEEDED and following and following.live:
        text = f"Run {now.run} has ended well and handed over to run {following.run}: that one is cancelled."
        output.err().print(escape(text))
        return following
    if not now.live:
        raise _ended(now)
    return now


def _ended(record: RunRecord) -> RefusedError:
    how = f"{record.status.value} at {words.moment(record.ended_at)}"
    advice = f"there is nothing to cancel; `stepmark show {record.environment}` shows it"
    return RefusedError(f"run {record.run} of {record.environment} has ended: {how}", advice)
