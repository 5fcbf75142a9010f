"""`show`, and the JSON of environments and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from tasks.facts import Facts
from tasks.failure import EarlierAttempt
from workers.cli import checks, connect, options, outlook, output, words
from workers.cli.outlook import Outlook
from workers.records import EnvironmentRecord, RunRecord
from workers.runtime import Base

_HISTORY = 10
# How long a line about an attempt is at most, and how much of its reason is left however narrow the terminal.
_LINE = 160
_LEAST = 30
_NOT_SHOWN = {"token", "delivery", "execution", "names", "queues", "environment", "read_at", "completed", "before"}
_NOT_SHOWN |= {"origin_state"}


def show(environment: options.Environment, as_json: options.Json = False) -> int:
    """Show all that is known of an environment: its facts, the steps of its last run, its failure, its history.

    Example: stepmark show web-3
    """
    base = connect.base()
    record = base.store.environment(environment)
    facts, history = base.store.facts(environment), base.store.history(environment)
    runs = base.store.runs(history)
    history = tuple(sorted(runs, key=lambda run: words.began(runs[run]), reverse=True))
    run = runs.get(record.current_run or "")
    if as_json:
        shape = environment_shape(record) | {
            "spec": connect.spec(record).model_dump(mode="json"),
            "facts": facts.model_dump(mode="json"),
            "run": run_shape(run),
            "history": [run_shape(runs[each]) for each in history],
            "traces": list(base.store.traces(environment)),
            "checks": [run_shape(check) for check in checks.latest(base, environment)],
        }
        output.emit(shape)
        return 0
    console = output.out()
    _print_head(console, base, record)
    _print_facts(console, facts)
    if run:
        _print_run(console, run, outlook.read(base))
    _print_history(console, [runs[each] for each in history if runs[each].epoch])
    return 0


def environment_shape(record: EnvironmentRecord) -> dict[str, Any]:
    """An environment as JSON, without its specification."""
    return {
        "environment": record.name,
        "state": record.state.value,
        "partial": bool(record.partial),
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "checked_at": record.checked_at,
        "drift": record.drift.model_dump(mode="json") if record.drift else None,
    }


def run_shape(run: RunRecord | None) -> dict[str, Any] | None:
    """A run as JSON, without its token."""
    if run is None:
        return None
    kept = run.model_dump(
        mode="json",
        exclude=_NOT_SHOWN,
    )
    steps = {step.index: step.model_dump(mode="json") for step in run.completed}
    shown = [(steps.get(i) or _open(run, i)) | _before(run, i) for i in range(1, run.total + 1)]
    return kept | {"status": run.display.value, "steps": shown}


def _before(run: RunRecord, index: int) -> dict[str, Any]:
    """The attempts of a step that failed before."""
    return {"earlier": [each.model_dump(mode="json") for each in run.before.get(index, ())]}


def _open(run: RunRecord, index: int) -> dict[str, Any]:
    """A step that has not ended well, in the shape of those that have."""
    ending = run.display.value if index == run.index else "pending"
    attempt = run.attempt if index == run.index else 0
    seconds = run.failure.step_duration_seconds if index == run.index and run.failure else None
    return {
        "step": run.names[index - 1],
        "index": index,
        "ending": ending,
        "seconds": seconds,
        "attempt": attempt,
        "note": "",
    }


def _kind(run: RunRecord) -> str:
    return run.failure.error_kind.value if run.failure else ""


def _print_head(console: Console, base: Base, record: EnvironmentRecord) -> None:
    console.print(f"[bold]{record.name}[/]  {words.state(record)}  since {words.moment(record.updated_at)}")
    for line in checks.lines(base, record):
        console.print(escape(line), soft_wrap=True)


def _print_facts(console: Console, facts: Facts) -> None:
    known: Mapping[str, Any] = facts.model_dump(mode="json", exclude_none=True)
    if not known:
        return
    console.print("\n[bold]facts[/]")
    for name, value in known.items():
        console.print(f"  {name:<16} {escape(_plain(value))}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _print_run(console: Console, run: RunRecord, around: Outlook) -> None:
    attempt = f", epoch {run.epoch}" if run.epoch > 1 else ""
    console.print(f"\n[bold]run {run.run}[/]  {words.place(run)}  {words.status(run)}{attempt}")
    begun = words.moment(run.begun_at or run.created_at)
    console.print(f"  by {escape(run.user)} (unauthenticated), {escape(run.trigger)}, {begun}")
    shape = run_shape(run) or {}
    for step in shape["steps"]:
        seconds = "" if step["seconds"] is None else words.span(step["seconds"])
        mark = f"  {step['index']}/{run.total} {step['step']:<28} {step['ending']:<13} {seconds:>7}  {step['note']}"
        console.print(
            escape(mark.rstrip()), soft_wrap=True, style="red" if step["ending"] in ("failed", "lost") else None
        )
        _print_attempts(console, run.before.get(step["index"], ()))
    if run.failure and not run.live:
        console.print("\n[bold]failure[/]")
        for line in words.failure_lines(run.failure):
            console.print(f"  {escape(line)}", soft_wrap=True)
        return
    for what, text in (("now", around.note(run, last=False) if run.live else ""), ("next", around.advice(run))):
        if text:
            console.print(f"\n{what}: {escape(text)}", soft_wrap=True)


def _print_attempts(console: Console, earlier: Sequence[EarlierAttempt]) -> None:
    """The attempts of a step before the present one, or before the one that went well; a line each."""
    said = ""
    for each in earlier:
        why = f"{each.kind.value}: {each.summary}"
        begin, end = f"      attempt {each.attempt}: ", f"  (stepmark trace {each.trace_id})"
        room = (min(console.width, _LINE) if console.is_terminal else _LINE) - len(begin) - len(end)
        text = "the same" if why == said else _cut(why, max(room, _LEAST))
        console.print(escape(f"{begin}{text}{end}"), soft_wrap=True, style="dim")
        said = why


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _print_history(console: Console, runs: list[RunRecord]) -> None:
    console.print("\n[bold]history[/]")
    for run in runs[:_HISTORY]:
        kind = f"  {_kind(run)}" if _kind(run) not in ("", run.status.value) else ""  # `cancelled` is both
        began = words.moment(words.began(run))
        console.print(f"  {began}  {run.run}  {words.place(run)}  {words.status(run)}{kind}")
    if len(runs) > _HISTORY:
        console.print(f"  and {len(runs) - _HISTORY} older ones: --json has them all")
