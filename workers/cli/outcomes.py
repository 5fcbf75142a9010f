"""Outcome: what became of each environment that a command was about; the table, the JSON and the exit status of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from tasks.errors import Kind
from tasks.failure import RunStatus
from workers.cli import output, words
from workers.cli.reports import Exit, Report
from workers.records import DriftMark, EnvironmentRecord, RunRecord

# More are summed up; and of those that went badly, so many are explained.
_MOST_SHOWN = 50
_MOST_EXPLAINED = 20
_MOST_NAMED = 5
# What a host that does not run looks like from here.
_NOT_REACHED = (Kind.TIMEOUT, Kind.NETWORK_CONNECTIVITY)
_WELL = {Exit.OK, Exit.DRIFTED}
_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.LOST)


@dataclass(frozen=True)
class Outcome:
    """Of one environment: its record and its run as they are now, or why nothing was launched.

    wanted: how it is well for the run to end. begun_at: when what was launched or resumed began, Unix seconds: of `up`
    the first of its runs; None: as its run says.
    """

    environment: str
    record: EnvironmentRecord | None
    run: RunRecord | None
    refusal: Report | None
    wanted: RunStatus = RunStatus.SUCCEEDED
    begun_at: float | None = None

    @property
    def word(self) -> str:
        """`refused`, `gone` (Redis has forgotten the run), or the run's status as shown."""
        if self.run is None:
            return "refused" if self.refusal else "gone"
        return self.run.display.value

    @property
    def goes_on(self) -> bool:
        """Whether the run is on its way, as far as anybody knows."""
        return self.run is not None and self.run.live and self.run.display is not RunStatus.LOST

    @property
    def status(self) -> Exit:
        """What it alone would make of the exit status."""
        if self.run is None:
            return self.refusal.status if self.refusal else Exit.FAILED
        ended = self.run.display
        if ended in _ENDED and ended is not self.wanted:
            return Exit.FAILED
        return Exit.DRIFTED if self.drift else Exit.OK

    @property
    def drift(self) -> DriftMark | None:
        """The drift that this very run has found."""
        mark = self.record.drift if self.record else None
        return mark if mark and self.run and mark.run == self.run.run else None

    def shape(self) -> dict[str, Any]:
        """As JSON."""
        run = self.run
        return {
            "environment": self.environment,
            "outcome": self.word,
            "state": self.record.state.value if self.record else None,
            "partial": bool(self.record and self.record.partial),
            "run": run.run if run else None,
            "workflow": run.workflow if run else None,
            "step": run.step if run else None,
            "index": run.index if run else None,
            "total": run.total if run else None,
            "failure": run.failure.model_dump(mode="json") if run and run.failure else None,
            "error": self.refusal.shape() if self.refusal else None,
            "drift": self.drift.model_dump(mode="json") if self.drift else None,
        }


def exit_status(outcomes: Sequence[Outcome]) -> Exit:
    """One for all: 5 if some went well and some did not; 1 if all went badly, but 3 if all were refused; 0 of none.

    6 if all went well, and one has found drift.
    """
    found = {outcome.status for outcome in outcomes}
    if found <= _WELL:
        return max(found, default=Exit.OK)
    if found & _WELL:
        return Exit.PARTLY
    return found.pop() if len(found) == 1 else Exit.FAILED


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """The table, and each failure and refusal in short with what to do next; of many, only of some that went badly."""
    if not outcomes:
        return
    if len(outcomes) <= _MOST_SHOWN:
        _show_each(outcomes, console)
    else:
        _show_bad(outcomes, console)
    for line in _sequel(outcomes):
        console.print(line, soft_wrap=True)


def _show_bad(outcomes: Sequence[Outcome], console: Console) -> None:
    counts = Counter(outcome.word for outcome in outcomes)
    counted = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    console.print(f"{len(outcomes)} environments: {counted}")
    bad = [outcome for outcome in outcomes if outcome.status is not Exit.OK]
    if bad:
        _show_each(bad[:_MOST_EXPLAINED], console)
    if len(bad) > _MOST_EXPLAINED:
        rest = "`stepmark status --state failed --all` lists those that failed"
        console.print(f"\nand {len(bad) - _MOST_EXPLAINED} more that did not go well: {rest}", soft_wrap=True)


def _sequel(outcomes: Sequence[Outcome]) -> list[str]:
    """What is to follow where hosts had been configured, and by these runs no longer count as that."""
    names = [
        each.environment for each in outcomes if each.record and each.run and words.to_configure(each.record, each.run)
    ]
    if not names:
        return []
    some = ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )
    return ["", f"[bold]configured before, provisioned now: {some}[/]", "  next:    `stepmark configure`"]


def _show_each(outcomes: Sequence[Outcome], console: Console) -> None:
    table = output.table("environment", "state", "run", "outcome", "took", whole=("environment", "took"))
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    console.print(table)
    for outcome in outcomes:
        for line in _explanation(outcome):
            console.print(line, soft_wrap=True)


def _row(outcome: Outcome) -> tuple[str, ...]:
    state = words.state(outcome.record) if outcome.record else "-"
    run = outcome.run
    if run is None:
        return outcome.environment, state, "-", f"[yellow]{outcome.word}[/]", ""
    took = words.span((run.ended_at or run.read_at) - (outcome.begun_at or run.begun_at or words.began(run)))
    return outcome.environment, state, words.place(run), words.status(run), took


def _explanation(outcome: Outcome) -> list[str]:
    if outcome.refusal:
        lines = [f"{outcome.environment}: refused: {outcome.refusal.message}", f"  next:    {outcome.refusal.help}"]
    elif outcome.run and outcome.run.failure and not outcome.run.live:
        lines = words.failure_lines(outcome.run.failure)
        if outcome.record and outcome.record.drift and outcome.run.failure.error_kind in _NOT_REACHED:
            lines.append(f"  drift:   {words.drift(outcome.record.drift)}; {words.mend_drift(outcome.record)}")
    elif outcome.run and outcome.run.display is RunStatus.LOST:
        lost = f"its worker {outcome.run.worker} is not heard of any more"
        lines = [f"{outcome.environment}: lost at {words.place(outcome.run)}: {lost}"]
        lines.append(f"  next:    {words.advice(outcome.run)}")
    elif outcome.drift and outcome.record:
        lines = [f"{outcome.environment}: {words.drift(outcome.drift)}"]
        lines.append(f"  next:    {words.mend_drift(outcome.record)}")
    elif outcome.run and outcome.wanted is RunStatus.CANCELLED and outcome.run.display is RunStatus.SUCCEEDED:
        lines = [f"{outcome.environment}: its run had ended before it could be cancelled"]
    elif outcome.run is None:
        lines = [f"{outcome.environment}: its run is gone from Redis: was it emptied, or restarted without its file?"]
        lines.append("  next:    look whether the host is there; `stepmark doctor` says what this Redis guarantees")
    else:
        return []
    return ["", f"[bold]{escape(lines[0])}[/]", *map(escape, lines[1:])]


def gather(
    names: Sequence[str],
    environments: Mapping[str, EnvironmentRecord],
    runs: Mapping[str, RunRecord],
    refusals: Mapping[str, Report],
    wanted: RunStatus = RunStatus.SUCCEEDED,
) -> tuple[Outcome, ...]:
    """The outcomes of the environments in `names`, from what is known of each, by its name."""
    return tuple(Outcome(name, environments.get(name), runs.get(name), refusals.get(name), wanted) for name in names)
