"""`worker list` and `worker drain`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from workers import verbs
from workers.beats import SILENT_SECONDS
from workers.cli import connect, options, output, words
from workers.cli.reports import Exit
from workers.records import RunRecord
from workers.refusals import NotFoundError, RefusedError
from workers.registry import Condition, Registry, WorkerRecord

_COLOURS = {
    Condition.READY: "green",
    Condition.DRAINING: "yellow",
    Condition.DRAINED: "yellow",
    Condition.STOPPING: "yellow",
    Condition.SILENT: "red",
}
_LOOK_SECONDS = 0.5
_MOST_SHOWN = 5

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="The workers' names.")]
Everyone = Annotated[bool, typer.Option("--all", help="All workers that live now.")]
Off = Annotated[bool, typer.Option("--off", help="Let them take steps again.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when none of them runs a step any more.")]


def listing(as_json: options.Json = False) -> int:
    """List the workers: what they are, when they were last heard of, and what they run now.

    Example: stepmark worker list
    """
    found = _registry().workers()
    if as_json:
        output.emit({"workers": [shape(each) for each in found]})
    elif found:
        output.out().print(_table(found))
    else:
        output.err().print("No worker lives: `stepmark worker` starts them.")
    return Exit.OK


def drain(
    names: Names = None,
    everyone: Everyone = False,
    off: Off = False,
    wait: Wait = False,
    as_json: options.Json = False,
) -> int:
    """Have workers end the steps that they run, and take no new ones; until `--off`, or until they end.

    Example: stepmark worker drain tools@vm1 --wait
    """
    registry = _registry()
    chosen = _chosen(registry.workers(), names or [], everyone=everyone)
    for name in chosen:
        registry.drain(name, "" if off else verbs.whoami())
    _heed(registry, chosen, taking=off)
    if wait:
        _wait(registry, chosen, Condition.READY if off else Condition.DRAINED)
    found = registry.workers()
    told = [each for each in found if each.name in chosen]
    if as_json:
        output.emit({"workers": [shape(each) for each in told]})
        return Exit.OK
    for name in chosen:
        output.out().print(escape(_said(name, next((each for each in told if each.name == name), None), off=off)))
    for queue in _unserved(found, chosen) if not off else ():
        output.err().print(f"Nobody takes steps of the queue {queue} now: they wait until somebody does.")
    return Exit.OK


def shape(worker: WorkerRecord) -> dict[str, Any]:
    """A worker as JSON."""
    return {
        **worker.model_dump(mode="json", include={"name", "machine", "pid", "version", "queues", "slots", "taking"}),
        "schema": worker.schema_version,
        "condition": worker.condition.value,
        "started_at": worker.started_at,
        "heard_at": worker.heard_at,
        "drained_by": worker.drain or None,
        "running": [
            run.model_dump(include={"run", "environment", "workflow", "step", "index", "total", "step_started_at"})
            for run in worker.running
        ],
    }


def _registry() -> Registry:
    base = connect.base()
    return Registry(base.client, base.keys)


def _chosen(known: Iterable[WorkerRecord], names: list[str], *, everyone: bool) -> list[str]:
    """The names of the workers that are meant.

    Raises:
        NotFoundError, RefusedError: there is no such worker, or it is silent.
    """
    if bool(names) == everyone:
        raise typer.BadParameter("name workers, or say --all", param_hint="drain")
    conditions = {each.name: each.condition for each in known}
    if everyone:
        return [name for name, condition in conditions.items() if condition is not Condition.SILENT]
    for name in names:
        if name not in conditions:
            raise NotFoundError(f"worker {name!r}", "`stepmark worker list` lists them")
        if conditions[name] is Condition.SILENT:
            advice = "`stepmark worker list` shows since when; if it has died, its runs are taken over"
            raise RefusedError(f"worker {name} is not heard of", advice)
    return list(dict.fromkeys(names))


def _heed(registry: Registry, names: list[str], *, taking: bool) -> None:
    """Until each has heard it, within two beats or so: what is taken until then is taken."""
    end = time.monotonic() + SILENT_SECONDS
    while time.monotonic() < end:
        if all(each.taking == taking for each in registry.workers() if each.name in names):
            return
        time.sleep(_LOOK_SECONDS)


def _wait(registry: Registry, names: list[str], wanted: Condition) -> None:
    """Until each is as wanted, or has ended."""
    said = -1
    while True:
        waited = [each for each in registry.workers() if each.name in names and each.condition is not wanted]
        waited = [each for each in waited if each.condition is not Condition.SILENT]
        if not waited:
            return
        running = sum(len(each.running) for each in waited)
        if running not in (said, 0):
            output.err().print(f"{running} step{'s' if running > 1 else ''} still run{'' if running > 1 else 's'}")
        said = running
        time.sleep(_LOOK_SECONDS)


def _said(name: str, worker: WorkerRecord | None, *, off: bool) -> str:
    if worker is None:
        return f"{name}: it has ended"
    if off:
        return f"{name}: takes steps again"
    if worker.taking:
        return f"{name}: is told, and has not answered yet"
    count = len(worker.running)
    return f"{name}: takes no new step; {f'{count} still at work' if count else 'none at work'}"


def _unserved(workers: Iterable[WorkerRecord], drained: list[str]) -> list[str]:
    """The queues of drained workers that no other worker serves."""
    served = {
        queue
        for each in workers
        for queue in each.queues
        if each.name not in drained and each.condition is Condition.READY
    }
    return sorted({queue for each in workers if each.name in drained for queue in each.queues} - served)


def _table(workers: Iterable[WorkerRecord]) -> Table:
    headings = ("worker", "is", "machine", "version", "queues", "slots", "since", "heard", "runs")
    table = output.table(*headings, whole=("worker", "is", "since", "heard"))
    for each in workers:
        table.add_row(
            escape(each.name),
            f"[{_COLOURS[each.condition]}]{each.condition.value}[/]",
            f"{escape(each.machine)}/{each.pid}",
            f"{escape(each.version)} (schema {each.schema_version})",
            ",".join(each.queues),
            f"{len(each.running)}/{each.slots}",
            words.moment(each.started_at),
            f"{words.span(each.read_at - each.heard_at)} ago",
            _runs(each.running),
        )
    return table


def _runs(runs: tuple[RunRecord, ...]) -> str:
    shown = [f"{run.environment} {words.place(run)}" for run in runs[:_MOST_SHOWN]]
    more = [f"and {len(runs) - _MOST_SHOWN} more"] if len(runs) > _MOST_SHOWN else []
    return "\n".join((*shown, *more))
