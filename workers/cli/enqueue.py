"""Enqueue: launches runs and waits for their ends, for all commands that do so."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from tasks.failure import RunStatus
from workers import pause, restarts
from workers.cli import news, outcomes, outlook, output, progress, reports
from workers.cli.outcomes import Outcome
from workers.cli.progress import View
from workers.cli.reports import Exit, Report
from workers.cli.watch import Watch
from workers.records import RunRecord
from workers.refusals import BusyError, HeldError, RefusedError
from workers.runtime import Base

Start = Callable[[], str]
"""Launches a run, or has one go on or end; gives its id."""

_NO_WORKER_SECONDS = 10.0
# Times that nothing goes on after Redis came back, or after a lease without a reaper; then the lost run itself.
_PATIENCE = 3
_LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Manner:
    """How a command goes about it. wanted: how it is well for a run to end.

    check: the workers are asked first whether they have what is needed.
    """

    detach: bool = False
    as_json: bool = False
    wanted: RunStatus = RunStatus.SUCCEEDED
    check: bool = True


class Enqueued:
    """The runs that one command launches. A refusal of one environment does not stop the others."""

    def __init__(self, base: Base, starts: Mapping[str, Start], manner: Manner) -> None:
        self._base = base
        self._starts = starts
        self._manner = manner
        self._launched: dict[str, str] = {}
        self._refusals: dict[str, Report] = {}

    def perform(self) -> tuple[tuple[Outcome, ...], bool]:
        """Launch, and wait unless detached. The outcomes, and whether the operator interrupted."""
        after = news.position(self._base)
        interrupted = False
        try:
            self._launch()
            if not self._manner.detach:
                return self._followed(after), False
        except KeyboardInterrupt:
            interrupted = True
        return self._outcomes(), interrupted

    def _followed(self, after: str) -> tuple[Outcome, ...]:
        """The outcomes when none goes on: one that has ended badly may be resumed by somebody else meanwhile."""
        while True:
            watched = Watch(self._base, self._launched, after)
            follow(watched, as_json=self._manner.as_json)
            found, after = self._outcomes(), watched.feed.after
            if not any(outcome.goes_on for outcome in found):
                return found

    def _launch(self) -> None:
        if self._manner.detach and not self._manner.as_json and (paused := pause.read(self._base)):
            output.err().print(escape(f"{outlook.words(paused)}; what is launched begins after `stepmark unpause`."))
        for name, start in self._starts.items():
            try:
                self._launched[name] = self._patiently(start)
            except RefusedError as error:
                self._refusals[name] = reports.report(error) or Report(Exit.REFUSED, "refused", str(error))

    def _patiently(self, start: Start) -> str:
        """Start; if a lost worker's tools may still be at work, wait until they must have ended."""
        until = time.monotonic() + _PATIENCE * self._base.settings.quiet_seconds
        while time.monotonic() < until:
            try:
                return start()
            except HeldError as error:
                output.err().print(escape(f"{error}: {error.advice}"))
                time.sleep(error.seconds + 0.5)
            except BusyError as error:
                holder = self._base.store.run(error.run)
                if holder.display is not RunStatus.LOST:
                    raise
                seconds, why = self._held(holder)
                output.err().print(escape(f"{error}; {why}: trying again in {seconds:.0f} s"))
                self._wait_for(error.run, seconds)
        return start()

    def _wait_for(self, run: str, seconds: float) -> None:
        """Until the lost run goes on, or has ended, or the seconds have passed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._base.store.run(run).display is RunStatus.LOST:
            time.sleep(_LOOK_SECONDS)

    def _held(self, holder: RunRecord) -> tuple[float, str]:
        """For how many seconds a lost run is not settled yet, and why."""
        left = max(holder.free_at(self._base.settings.takeover_seconds) - holder.read_at, 0.0)
        quiet = restarts.quiet_seconds(self._base)
        return max(left, quiet) + 0.5, restarts.WHY if quiet > left else "its worker is lost"

    def _outcomes(self) -> tuple[Outcome, ...]:
        names = tuple(self._starts)
        environments = {record.name: record for record in self._base.store.environments() if record.name in names}
        runs = self._base.store.runs(self._launched.values())
        following = [run.next for run in runs.values() if run.next and run.status is RunStatus.SUCCEEDED]
        now = {**runs, **self._base.store.runs(following)}
        found = outcomes.gather(
            [name for name in names if name in self._launched or name in self._refusals],
            environments,
            {record.environment: record for record in now.values()},
            self._refusals,
            self._manner.wanted,
        )
        begun = {run.environment: run.begun_at for run in runs.values()}
        return tuple(dataclasses.replace(outcome, begun_at=begun.get(outcome.environment)) for outcome in found)


def follow(watched: Watch, *, as_json: bool) -> None:
    """Show how the runs go on until none does."""
    if as_json:
        while not watched.over:
            watched.poll()
        return
    progress.follow(output.err(), watched, lambda: _view(watched))


def _view(watched: Watch) -> View:
    return View(watched.runs.values(), watched.outlook, watched.at, _warning(watched))


def finish(base: Base, starts: Mapping[str, Start], manner: Manner) -> int:
    """Launch, wait, and say what became of it; gives the exit status."""
    found, interrupted = Enqueued(base, starts, manner).perform()
    return conclude(base, found, manner, interrupted=interrupted)


def conclude(base: Base, found: Sequence[Outcome], manner: Manner, *, interrupted: bool, **extra: Any) -> int:
    """Say what became of the environments; gives the exit status. extra: more for the JSON document."""
    status = Exit.INTERRUPTED if interrupted else outcomes.exit_status(found)
    if manner.as_json:
        paused = pause.read(base)
        extra["paused"] = paused.model_dump(mode="json") if paused else None
        output.emit({"environments": [outcome.shape() for outcome in found], "exit_status": int(status), **extra})
        return status
    console = output.out()
    if manner.detach and not interrupted:
        _ids(found)
    else:
        outcomes.show(found, console)
    if names := " ".join(outcome.environment for outcome in found if interrupted and outcome.run and outcome.run.live):
        console.print(f"\nThe runs go on: `stepmark status --follow {names}` follows them.", soft_wrap=True)
    return status


def _ids(found: Sequence[Outcome]) -> None:
    """On standard output only the runs' ids: `NAME ID` a line."""
    for outcome in found:
        if outcome.run:
            output.out().print(f"{outcome.environment} {outcome.run.run}")
        if outcome.refusal:
            text = f"{outcome.environment}: refused: {outcome.refusal.message}; {outcome.refusal.help}"
            output.err().print(escape(text))


def _warning(watched: Watch) -> str:
    if watched.feed.silent_since is not None:
        return "Redis does not answer; waiting for it. What runs goes on as long as its workers can."
    if watched.outlook.paused:
        return f"{outlook.words(watched.outlook.paused)}; `stepmark unpause` goes on."
    waiting = watched.waiting
    since = max((watched.runs[name].due_at or watched.at for name in waiting), default=watched.at)
    if watched.at - since < _NO_WORKER_SECONDS:
        return ""
    names = ", ".join(waiting[:3]) + (f" and {len(waiting) - 3} more" if len(waiting) > 3 else "")
    return f"no worker has taken {names} for {_NO_WORKER_SECONDS:.0f} s: is one running? `stepmark worker`"
