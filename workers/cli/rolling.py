"""Rolling: begins a rollout, follows it, and says what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.markup import escape

from tasks.failure import RunStatus
from tasks.workflows import WORKFLOWS
from workers import celery, pause
from workers.cli import outcomes, outlook, output, policywords, progress
from workers.cli.enqueue import Manner
from workers.cli.news import News, position
from workers.cli.outcomes import Outcome
from workers.cli.progress import View
from workers.cli.reports import Exit, Report
from workers.cli.rolloutwatch import RolloutWatch
from workers.rolloutdraft import RolloutRequest
from workers.rolloutrecord import LEFT_OUT, RolloutRecord, RolloutStatus
from workers.rolloutrecord import Outcome as Ended
from workers.rollouts import Rollouts
from workers.runtime import Base

# Of more environments not each one is told of: they are counted, and the failed ones are named.
SMALL = 50
_MOST_NAMED = 8
_WELL = RunStatus.SUCCEEDED.value


def roll(base: Base, request: RolloutRequest, manner: Manner) -> int:
    """Begin a rollout, and follow it unless detached; gives the exit status."""
    rollouts = Rollouts(base, celery.app)
    after, rollout, interrupted = position(base), "", False
    try:
        rollout = rollouts.begin(request)
        _say_begun(base, rollouts.store.rollout(rollout), manner)
        while rollouts.advance(rollout):
            pass
        if not manner.detach:
            follow(base, rollout, after, as_json=manner.as_json)
    except KeyboardInterrupt:
        interrupted = True
    return conclude(base, rollouts, rollout, manner, interrupted=interrupted) if rollout else Exit.INTERRUPTED


def follow(base: Base, rollout: str, after: str, *, as_json: bool) -> None:
    """Show how a rollout goes on, until nothing of it does. after: where in the news it begins."""
    watched = RolloutWatch(base, rollout, after)
    if as_json:
        while not watched.over:
            watched.poll()
        return
    small = watched.record.total <= SMALL
    wanted = None if small else _failed
    progress.follow(output.err(), watched, lambda: _view(watched), wanted)


def _failed(fields: News) -> bool:
    return fields["event"] == "run-failed"


def conclude(base: Base, rollouts: Rollouts, rollout: str, manner: Manner, *, interrupted: bool) -> int:
    """Say what has become of a rollout so far; gives the exit status."""
    record = rollouts.store.rollout(rollout)
    status = Exit.INTERRUPTED if interrupted else exit_status(record, detached=manner.detach)
    if manner.as_json:
        found = gather(base, rollouts, rollout)
        paused = pause.read(base)
        output.emit(
            {
                "rollout": shape(record),
                "environments": [outcome.shape() for outcome in found],
                "paused": paused.model_dump(mode="json") if paused else None,
                "exit_status": int(status),
            }
        )
        return status
    if manner.detach and not interrupted:
        output.out().print(f"rollout {rollout}")
        return status
    if record.total <= SMALL:
        outcomes.show(gather(base, rollouts, rollout), output.out())
    output.out().print(f"\n{summary(record)}", soft_wrap=True)
    for line in () if record.total <= SMALL else parts(rollouts, record):
        output.out().print(escape(line), soft_wrap=True)
    if text := advice(record):
        output.out().print(f"next: {escape(text)}", soft_wrap=True)
    return status


def gather(base: Base, rollouts: Rollouts, rollout: str) -> tuple[Outcome, ...]:
    """The outcomes of all environments of a rollout that were started or left out, as after a launch without one."""
    ended, slots = rollouts.store.outcomes(rollout), rollouts.store.slots(rollout)
    refusals = {
        name: Report(Exit.REFUSED, each.kind, each.reason, each.advice, each.problems)
        for name, each in ended.items()
        if each.status == LEFT_OUT
    }
    runs = base.store.runs([*(each.run for each in ended.values() if each.run), *slots.values()])
    following = base.store.runs(run.next for run in runs.values() if run.next and not run.live)
    found = {run.environment: run for run in (*runs.values(), *(run for run in following.values() if run.epoch))}
    names = sorted({*ended, *slots})
    environments = {record.name: record for record in base.store.environments() if record.name in set(names)}
    return outcomes.gather(names, environments, found, refusals)


def exit_status(record: RolloutRecord, *, detached: bool = False) -> Exit:
    """0: all well, or it goes on; 6: well, some drifted; 3: all were left out; 5: some well, or it stopped; else 1."""
    if record.succeeded == record.total:
        return Exit.DRIFTED if record.drifted else Exit.OK
    if detached and not record.over:
        return Exit.OK
    if record.left_out == record.total:
        return Exit.REFUSED
    if record.succeeded or not record.over:
        return Exit.PARTLY
    return Exit.FAILED


def shape(record: RolloutRecord) -> dict[str, Any]:
    """A rollout as JSON."""
    kept = record.model_dump(mode="json", exclude={"schema_version", "live_of"})
    return kept | {"live": record.live, "pending": record.pending}


def summary(record: RolloutRecord) -> str:
    """A rollout in one line, with colours."""
    counts = [
        (record.succeeded, "succeeded", "green"),
        (record.failed, "failed", "red"),
        (record.cancelled, "cancelled", "yellow"),
        (record.gone, "gone", "red"),
        (record.left_out, "left out", "yellow"),
        (record.live, "going on", "cyan"),
        (record.pending, "to come", ""),
        (record.total - record.started - record.left_out if record.over else 0, "never started", "yellow"),
        (record.partial, "partial", "yellow"),  # however they ended
        (record.drifted, "drifted", "yellow"),
    ]
    parts = [f"[{colour}]{count} {word}[/]" if colour else f"{count} {word}" for count, word, colour in counts if count]
    text = f"[bold]rollout {record.rollout}[/]  {state(record)}  {record.ended + record.left_out}/{record.total}"
    return f"{text}: {', '.join(parts)}" if parts else text


def state(record: RolloutRecord) -> str:
    """Its status, and why it is so if somebody or something made it so."""
    colour = {"failed": "red", "succeeded": "green", "running": "cyan"}.get(record.status.value, "yellow")
    text = f"[{colour}]{record.status.value}[/]"
    if record.status in (RolloutStatus.PAUSED, RolloutStatus.CANCELLED) and record.changed_by:
        return f"{text} by {escape(record.changed_by)}: {escape(record.reason or 'no reason given')}"
    return text


def advice(record: RolloutRecord) -> str:
    """What to do about a rollout; empty: nothing."""
    if record.status is RolloutStatus.PAUSED:
        return f"`stepmark rollout resume {record.rollout}` goes on, `stepmark rollout cancel {record.rollout}` ends it"
    if not record.over:
        return f"it goes on: `stepmark rollout show {record.rollout} --follow` follows it"
    if not record.failed:
        return ""
    return "`stepmark drift` looks again" if _looks(record) else "`stepmark retry --failed` goes on with what failed"


def _looks(record: RolloutRecord) -> bool:
    """Whether its runs change nothing, and are not resumed."""
    workflow = WORKFLOWS.get(record.verb)
    return bool(workflow and workflow.watches)


def parts(rollouts: Rollouts, record: RolloutRecord, most: int = 20) -> Iterable[str]:
    """What became of its environments, counted, each with the first names: what went badly, then what went well."""
    grouped: dict[tuple[str, str], list[str]] = {}
    found = rollouts.store.outcomes(record.rollout)
    for name, each in found.items():
        if each.status != _WELL:
            grouped.setdefault((_how(each), ""), []).append(name)
        if each.drift:
            grouped.setdefault(("drifted", f": {each.drift}"), []).append(name)
    rows = sorted(grouped.items(), key=lambda row: -len(row[1]))
    yield from (_part(how, names) + what for (how, what), names in rows[:most])
    if len(rows) > most:
        yield f"  and {len(rows) - most} other ways: --json has them all"
    if well := [name for name, each in found.items() if each.status == _WELL]:
        yield _part(_WELL, well)
    if to_come := rollouts.store.pending(record):
        yield _part("to come", to_come)


def _how(outcome: Ended) -> str:
    kind = outcome.kind or outcome.reason
    status = outcome.status.replace("-", " ")
    return " ".join(filter(None, (status, outcome.step and f"at {outcome.step}", kind and f"({kind})")))


def _part(how: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"  {len(names)} {how}: {', '.join(names[:_MOST_NAMED])}{more}"


def _say_begun(base: Base, record: RolloutRecord, manner: Manner) -> None:
    if manner.as_json:
        return
    if paused := pause.read(base):
        output.err().print(escape(f"{outlook.words(paused)}; the rollout starts after `stepmark unpause`."))
    output.err().print(f"rollout {record.rollout}: {escape(plan(record))}", soft_wrap=True)


def plan(record: RolloutRecord) -> str:
    """How a rollout is to go, in words."""
    return f"{record.verb} of {record.total} environment{'' if record.total == 1 else 's'}, {policywords.whole(record)}"


def _view(watched: RolloutWatch) -> View:
    warning = "Redis does not answer; waiting for it." if watched.feed.silent_since is not None else ""
    if watched.outlook.paused:
        warning = f"{outlook.words(watched.outlook.paused)}; `stepmark unpause` goes on."
    return View(watched.runs, watched.outlook, watched.at, warning, summary(watched.record))
