"""`trace` and `logs`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from tasks import trace as traces
from tasks.failure import RunStatus
from tasks.trace import Trace
from workers import runlog
from workers.cli import connect, options, output, sequel, words
from workers.records import RunRecord
from workers.refusals import NotFoundError
from workers.runlog import Line
from workers.runtime import Base

_POLL_SECONDS = 0.5
_Which = Annotated[
    str,
    typer.Argument(metavar="ENV|RUN", help="An environment or a run.", autocompletion=options.complete_environment),
]
_WhichTrace = Annotated[
    str,
    typer.Argument(
        metavar="ENV|RUN|TRACE",
        help="An environment (its newest trace), a run or a trace.",
        autocompletion=options.complete_environment,
    ),
]
Step = Annotated[str | None, typer.Option("--step", metavar="STEP", help="Only what this step printed.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]


def trace(which: _WhichTrace, as_json: options.Json = False) -> int:
    """Print the kept record of a failure.

    Example: stepmark trace web-3
    """
    base = connect.base()
    found = _trace(base, which)
    went_on = sequel.of(base, found.context)
    if as_json:
        output.emit(found.model_dump(mode="json") | {"sequel": went_on or None})
    else:
        sys.stdout.write(traces.render(found, went_on))
    return 0


def logs(which: _Which, step: Step = None, follow: Follow = False, as_json: options.Json = False) -> int:
    """Print what the programs of a run have printed. Of an environment: its last run, or the last one with that step.

    Example: stepmark logs web-3 --step wait-ssh-connectivity
    """
    base = connect.base()
    run = _run(base, which, step)
    lines = (line for line in _lines(base, run.run, follow=follow) if step in (None, line.step))
    if as_json and not follow:
        output.emit({"run": run.run, "lines": [line._asdict() for line in lines]})
        return 0
    for line in lines:
        text = json.dumps(line._asdict(), ensure_ascii=False) if as_json else line.text
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return 0


def _trace(base: Base, which: str) -> Trace:
    ids = [*base.store.traces(which), which]
    run = base.store.runs([which]).get(which)
    if run and run.failure:
        ids = [run.failure.trace_id]
    for trace_id in ids:
        if (kept := base.store.trace(trace_id)) is not None:
            return Trace.model_validate(kept)
    if run and run.failure:
        return Trace(context=run.failure, error_chain=())
    if run is None:
        _known(base, which)
    raise NotFoundError(f"trace of {which!r}", "nothing has failed there, or it is past its retention")


def _known(base: Base, which: str) -> None:
    """See that there is such an environment.

    Raises:
        NotFoundError: there is not; it says what became of it, if that is known.
    """
    try:
        base.store.environment(which)
    except NotFoundError as error:
        raise NotFoundError(f"environment, run or trace {which!r}", error.advice) from error


def _run(base: Base, which: str, step: str | None) -> RunRecord:
    """The run that is meant.

    Raises:
        NotFoundError: there is none, or none that has the step.
    """
    runs = base.store.runs([which]) or base.store.runs(base.store.history(which))
    if not runs:
        raise NotFoundError(f"environment or run {which!r}")
    for run in sorted(runs.values(), key=words.began, reverse=True):
        if (step is None and run.status is not RunStatus.PENDING) or step in run.names:
            return run
    steps = ", ".join(dict.fromkeys(name for run in runs.values() for name in run.names))
    raise NotFoundError(f"step {step!r} in the runs of {which!r}", f"their steps are: {steps}")


def _lines(base: Base, run: str, *, follow: bool) -> Iterator[Line]:
    after, live = "0", follow
    while True:
        record = base.store.run(run)
        live = live and (record.live or record.status is RunStatus.PENDING)
        for line in runlog.read(base.client, base.keys, run, after=after):
            after = line.id
            yield line
        if not live:
            return
        time.sleep(_POLL_SECONDS)
