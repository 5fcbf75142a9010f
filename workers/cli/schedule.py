"""`schedule`: apply the schedules of a fleet file, look at those in Redis, fire one now, pause, remove."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.fleet import Fleet
from config.rollout import Policy
from workers import celery, verbs
from workers.cli import chosen, connect, logged, options, output, scheduletable, words
from workers.cli.policy import warnings
from workers.cli.reports import Exit
from workers.cli.scheduleshape import firing_shape, shape
from workers.firing import Firings
from workers.firingrecord import Due, Firing, Outcome
from workers.notices import Pause
from workers.refusals import RefusedError
from workers.rolloutrecord import LEFT_OUT, RolloutRecord
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.schedule import STANDING, Change, Changes, ScheduleRecord, Schedules

_UPCOMING = 5

app = typer.Typer(help="What is launched by itself, and when.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The schedule's name.", autocompletion=options.complete_schedule)
]
Prune = Annotated[bool, typer.Option("--prune", help="Remove the schedules that the file does not have.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be changed.")]


@app.command()
def apply(
    fleet: options.FleetFile = None, prune: Prune = False, dry_run: DryRun = False, as_json: options.Json = False
) -> int:
    """Put the schedules of a fleet file into Redis, with all that is declared of what they select.

    Example: stepmark schedule apply fleet.yaml --prune
    """
    found, base = chosen.load(fleet), connect.base()
    said = [*_apply(base, found, dry_run=dry_run), *_others(base, found, prune=prune, dry_run=dry_run)]
    if as_json:
        output.emit({"schedules": said, "dry_run": dry_run, "warnings": list(warnings(found))})
        return Exit.OK
    for each in said:
        what = f": {'; '.join(each['what'])}" if each["what"] else ""
        output.out().print(escape(f"{each['change']:<11} {each['schedule']}{what}"), soft_wrap=True)
    if not said:
        output.err().print(escape(f"{found.path} has no schedules."))
    if dry_run:
        output.err().print("Nothing was changed: --dry-run.")
    for warning in warnings(found):
        output.err().print(escape(warning), style="yellow", soft_wrap=True)
    if not dry_run:
        scheduletable.warn(base)
    return Exit.OK


@app.command("list")
def listing(as_json: options.Json = False) -> int:
    """List the schedules: when they are due, and what their last firing did.

    Example: stepmark schedule list
    """
    base = connect.base()
    kept = Schedules(base.client, base.keys)
    found, last = kept.all(), {firing.schedule: firing for firing in kept.last_firings()}
    if as_json:
        begun = _rollouts(base, last.values())
        shapes = [shape(record) | {"last": firing_shape(last.get(record.schedule.name), begun)} for record in found]
        output.emit({"schedules": shapes, "beat": kept.beat()})
        return Exit.OK
    if found:
        output.out().print(scheduletable.table(found, last, _rollouts(base, last.values()), base.now()))
        scheduletable.warn(base)
    else:
        output.err().print("There are no schedules: `stepmark schedule apply` puts those of a fleet file here.")
    return Exit.OK


@app.command()
def show(name: Name, as_json: options.Json = False) -> int:
    """Show a schedule: what it selects, when it is due next, and its last firings.

    Example: stepmark schedule show nightly
    """
    base = connect.base()
    kept = Schedules(base.client, base.keys)
    record, firings = kept.find(name), kept.firings(name)
    upcoming = list(itertools.islice(_upcoming(record, base.now()), _UPCOMING))
    if as_json:
        begun = _rollouts(base, firings)
        more = {"upcoming": upcoming, "firings": [firing_shape(each, begun) for each in firings], "beat": kept.beat()}
        output.emit(shape(record) | more)
        return Exit.OK
    for line in scheduletable.lines(record, upcoming, firings, _rollouts(base, firings)):
        output.out().print(escape(line), soft_wrap=True)
    scheduletable.warn(base)
    return Exit.OK


@app.command()
def run(name: Name, as_json: options.Json = False) -> int:
    """Fire a schedule now, paused or not. What it begins goes on; its next time stays as it is.

    Example: stepmark schedule run nightly
    """
    base = connect.base()
    Schedules(base.client, base.keys).find(name)
    firings, due = Firings(base, celery.app), Due(name, base.now(), verbs.whoami())
    firings.note(due)
    with logged.collected() as found:
        firing = firings.fire(due)
    if firing is None:
        raise RefusedError(f"schedule {name} was removed meanwhile", "`stepmark schedule list` shows what there is")
    left_out = _left_out(base, firing)
    status = _status(firing, left_out)
    _warn(found, filter(None, (firing.reason, *left_out.values())))
    if as_json:
        output.emit({**firing.model_dump(mode="json"), "left_out": left_out, "exit_status": int(status)})
    else:
        _print(firing, left_out)
    return status


@app.command()
def pause(name: Name, reason: options.Reason = "", as_json: options.Json = False) -> int:
    """Let a schedule be fired no more, until it is unpaused; what runs goes on.

    Example: stepmark schedule pause nightly --reason "the freeze before the release"
    """
    base = connect.base()
    kept = Schedules(base.client, base.keys)
    record = kept.find(name)
    if record.paused:
        since = f"already paused by {record.paused.by} since {words.moment(record.paused.at)}: nothing is changed"
        _note(since, as_json=as_json)
    else:
        kept.pause(record, Pause(by=verbs.whoami(), reason=reason, at=base.now()))
        record = kept.find(name)
    return _tell(record, as_json=as_json)


@app.command()
def unpause(name: Name, as_json: options.Json = False) -> int:
    """Let a schedule be fired again, from its next time on.

    Example: stepmark schedule unpause nightly
    """
    base = connect.base()
    kept = Schedules(base.client, base.keys)
    record = kept.find(name)
    if record.paused:
        kept.unpause(record, base.now())
        record = kept.find(name)
    else:
        _note("it was not paused", as_json=as_json)
    return _tell(record, as_json=as_json)


@app.command()
def remove(name: Name, as_json: options.Json = False) -> int:
    """Forget a schedule and its firings; what runs goes on.

    Example: stepmark schedule remove nightly
    """
    base = connect.base()
    kept = Schedules(base.client, base.keys)
    kept.find(name)
    kept.remove(name)
    stands = name in {each.name for each in STANDING}
    if stands:
        kept.stand(base.now())
    if as_json:
        output.emit({"removed": name})
        return Exit.OK
    output.out().print(f"Schedule {name} is removed.")
    if stands:
        back = f"But what it does is always done: it is back as it was made. `stepmark schedule pause {name}` stops it."
        output.err().print(back, soft_wrap=True)
    return Exit.OK


def _apply(base: Base, found: Fleet, *, dry_run: bool) -> Iterator[dict[str, Any]]:
    kept = Schedules(base.client, base.keys)
    before = {record.schedule.name: record for record in kept.all()}
    for schedule in found.schedules:
        specs = found.select(schedule.selection) if schedule.select else ()
        # A job has no rollout.
        policy = verbs.policy(schedule.workflow, found.rollout) if schedule.select else Policy()
        record = before.get(schedule.name)
        changes = kept.changes(record, schedule, specs, policy) if record else Changes()
        if not dry_run and (record is None or any(changes)):
            kept.apply(schedule, specs, verbs.whoami(), base.now(), policy)
        if record is None:
            added = [schedule.workflow, schedule.when, *(f"+ {spec.name}" for spec in specs)]
            yield _said(schedule.name, "added", added)
        else:
            what = scheduletable.changes(changes, record.policy, policy)
            yield _said(schedule.name, "changed" if what else "unchanged", what, changes.fields)


def _said(schedule: str, change: str, what: list[str], fields: Iterable[Change] = ()) -> dict[str, Any]:
    return {"schedule": schedule, "change": change, "what": what, "changes": [each._asdict() for each in fields]}


def _others(base: Base, found: Fleet, *, prune: bool, dry_run: bool) -> Iterator[dict[str, Any]]:
    """The schedules that the file does not have, the standing ones aside."""
    kept, names = Schedules(base.client, base.keys), {each.name for each in (*found.schedules, *STANDING)}
    for name in kept.names():
        if name in names:
            continue
        if prune and not dry_run:
            kept.remove(name)
        yield _said(name, "removed" if prune else "not-in-file", [])


def _upcoming(record: ScheduleRecord, now: float) -> Iterator[float]:
    """When it is due from now on; nothing while it is paused."""
    table = record.timetable
    at = now - table.jitter_seconds
    while not record.paused:
        at = table.after(at)
        if table.due_at(at) > now:
            yield table.due_at(at)


def _rollouts(base: Base, firings: Iterable[Firing]) -> Mapping[str, RolloutRecord]:
    """The rollouts that these firings began, by id."""
    ids = [firing.rollout for firing in firings if firing.rollout]
    return RolloutStore(base.client, base.keys).some(ids)


def _left_out(base: Base, firing: Firing) -> dict[str, str]:
    """What its rollout has left out so far, and why."""
    if firing.rollout is None:
        return {}
    outcomes = RolloutStore(base.client, base.keys).outcomes(firing.rollout)
    return {name: each.reason for name, each in outcomes.items() if each.status == LEFT_OUT}


def _print(firing: Firing, left_out: Mapping[str, str]) -> None:
    """On standard output only the rollout's id: `rollout ID`."""
    err = output.err()
    if firing.reason:
        wait = "it waits" if firing.outcome is Outcome.WAITING else "nothing was launched"
        err.print(escape(f"{wait}: {firing.reason}"), soft_wrap=True)
    if firing.job:
        err.print(escape(f"A worker does it, as task {firing.job}."))
    if firing.rollout:
        output.out().print(f"rollout {firing.rollout}")
    if firing.rollout and _status(firing, left_out) is not Exit.REFUSED:
        err.print(f"It goes on: `stepmark rollout show {firing.rollout}` says how, and what it leaves out later.")
    for environment, reason in left_out.items():
        err.print(escape(f"{environment}: refused: {reason}"), soft_wrap=True)


def _warn(found: Iterable[str], reasons: Iterable[str]) -> None:
    """Say what was logged, but for the reasons, which are said anyway."""
    known = tuple(reasons)
    for warning in found:
        if not any(reason in warning for reason in known):
            output.err().print(escape(f"warning: {warning}"), soft_wrap=True)


def _status(firing: Firing, left_out: Mapping[str, str]) -> Exit:
    if firing.outcome is Outcome.LEFT_OUT or (left_out and len(left_out) == firing.environments):
        return Exit.REFUSED
    return Exit.PARTLY if left_out else Exit.OK


def _note(text: str, *, as_json: bool) -> None:
    if not as_json:
        output.err().print(escape(text), soft_wrap=True)


def _tell(record: ScheduleRecord, *, as_json: bool) -> int:
    if as_json:
        output.emit(shape(record))
    else:
        due = "" if record.paused else "next "
        output.out().print(escape(f"{record.schedule.name}: {due}{scheduletable.next_due(record)}"), soft_wrap=True)
    return Exit.OK
