"""`rollout`: what becomes of rollouts, and how to pause, resume and cancel them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape

from workers import celery, rolloutdraft, verbs
from workers import pause as pausing
from workers.cli import connect, options, outlook, output, policywords, progress, rolling, rolloutchoice, words
from workers.cli.enqueue import Manner
from workers.cli.news import position
from workers.cli.policy import OnwardFlags
from workers.cli.reports import Exit
from workers.cli.rolloutwatch import live_runs
from workers.cli.spread import spread
from workers.refusals import RefusedError
from workers.rolloutrecord import RolloutRecord, Rule
from workers.rollouts import Rollouts
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.tracker import Answer

_MOST = 20
_SHOWN_RUNS = 20
_SHOWN_EVENTS = 10
# Of one environment two runs follow one another at most; operators may have others go on meanwhile.
_LOOKS = 10


def _id(without: str) -> Any:
    """The argument that is a rollout's id. without: what is meant when it is left out."""
    return typer.Argument(metavar="[ROLLOUT]", help=f"Its id. {without}", autocompletion=options.complete_rollout)


Which = Annotated[
    str | None, _id("Default: the newest that goes on and that no schedule began, else the newest of all.")
]
Only = Annotated[str | None, _id("May be left out if one goes on, paused or not, and no other; whoever began it.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="First show how it goes on, until it has stopped.")]
Now = Annotated[bool, typer.Option("--now", help="Cancel the runs that go on, too.")]

app = typer.Typer(
    name="rollout",
    help="Look after rollouts: executions of a workflow over many environments.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def listing(as_json: options.Json = False) -> int:
    """List rollouts: those that have not ended, then others; the newest first.

    Example: stepmark rollout list
    """
    base = connect.base()
    store = RolloutStore(*_redis(base))
    records = store.rollouts(_MOST)
    if as_json:
        output.emit({"rollouts": [rolling.shape(record) for record in records]})
    elif records:
        table = output.table("rollout", "what", "begun", "by", "status", "done", "outcome", whole=("rollout", "begun"))
        for record in records:
            table.add_row(*_row(record))
        output.out().print(table)
        _warn_of_pause(base)
    else:
        output.err().print("There are no rollouts yet: `stepmark up` over several environments begins one.")
    for other in store.of_other_versions():
        output.err().print(f"Rollout {other} goes on too, and is kept by another version of stepmark.", style="yellow")
    return Exit.OK


@app.command()
def show(rollout: Which = None, follow: Follow = False, as_json: options.Json = False) -> int:
    """Show a rollout: how far it is, what failed, what goes on, and what has happened to it.

    Example: stepmark rollout show --follow
    """
    base = connect.base()
    rollouts = Rollouts(base, celery.app)
    rollout = rollout or rollouts.store.newest()
    if follow:
        rolling.follow(base, rollout, position(base), as_json=as_json)
    if as_json:
        output.emit(_shape(rollouts, rollout))
    else:
        _print(output.out(), base, rollouts, rollouts.store.rollout(rollout))
    return Exit.OK


@app.command()
def pause(rollout: Only = None, reason: options.Reason = "", as_json: options.Json = False) -> int:
    """Let nothing new of a rollout start; what runs goes on to its end.

    Example: stepmark rollout pause --reason "look at web-17 first"
    """
    rollouts, rollout = _which(rollout)
    return _said(rollouts, rollout, rollouts.pause(rollout, verbs.whoami(), reason), as_json=as_json)


@app.command()
@spread
def resume(
    policy: OnwardFlags,
    rollout: Only = None,
    reason: options.Reason = "",
    detach: options.Detach = False,
    as_json: options.Json = False,
) -> int:
    """Have a paused rollout go on: the failures that are tolerated and its deadline begin anew.

    What is not said stays as it was, canary and batches always.

    Example: stepmark rollout resume --budget 20 --max-parallel 50
    """
    rollouts, rollout = _which(rollout)
    changes = _changes(policy, rollouts.store.rollout(rollout))
    base, interrupted = connect.base(), False
    after = position(base)
    _demand(rollouts, rollout, rollouts.resume(rollout, verbs.whoami(), reason, changes))
    try:
        rollouts.advance(rollout)
        if not detach:
            rolling.follow(base, rollout, after, as_json=as_json)
    except KeyboardInterrupt:
        interrupted = True
    return rolling.conclude(base, rollouts, rollout, Manner(detach, as_json), interrupted=interrupted)


@app.command()
def cancel(rollout: Only = None, reason: options.Reason = "", now: Now = False, as_json: options.Json = False) -> int:
    """Let nothing new of a rollout start, ever; what runs goes on to its end, or is cancelled with --now.

    Example: stepmark rollout cancel --reason "wrong image" --now
    """
    rollouts, rollout = _which(rollout)
    going = not rollouts.store.rollout(rollout).over
    answer = rollouts.cancel(rollout, verbs.whoami(), reason)
    if now:
        _cancel_runs(connect.base(), rollouts.store, rollout, reason or f"rollout {rollout} was cancelled")
        if going and answer == ("already", "cancelled"):
            answer = ("ok", "cancelled")
    return _said(rollouts, rollout, answer, as_json=as_json)


def _cancel_runs(base: Base, store: RolloutStore, rollout: str, reason: str) -> None:
    """Mark all runs that go on. While one is marked it may end, and another one follow it: so look again."""
    for _ in range(_LOOKS):
        marked = set(cast("list[str]", base.client.hkeys(base.keys.cancels())))
        found = live_runs(base, store, rollout, most=1_000_000)
        left = [record for record in found if record.live and record.run not in marked]
        if not left:
            return
        for record in left:
            base.tracker.cancel(record, verbs.whoami(), reason)


def _warn_of_pause(base: Base) -> None:
    if paused := pausing.read(base):
        output.err().print(escape(f"{outlook.words(paused)}; `stepmark unpause` goes on."), style="yellow")


def _redis(base: Base) -> tuple[Any, Any]:
    return base.client, base.keys


def _which(rollout: str | None) -> tuple[Rollouts, str]:
    """The rollout that is named, or else meant.

    Raises:
        NotFoundError: the one that is named is not there.
        RefusedError: none is named, and none or several may be meant.
    """
    rollouts = Rollouts(connect.base(), celery.app)
    store = rollouts.store
    found = store.rollout(rollout) if rollout else rolloutchoice.choose(store)
    return rollouts, found.rollout


def _demand(rollouts: Rollouts, rollout: str, answer: Answer) -> None:
    """See that it was done.

    Raises:
        RefusedError: the rollout's status does not allow it.
    """
    if answer[0] != "ok":
        record = rollouts.store.rollout(rollout)
        if record.over:
            how = f"`stepmark rollout show {rollout}` says how"
            raise RefusedError(f"rollout {rollout} has ended: {record.status.value}", how)
        raise RefusedError(f"rollout {rollout} is {record.status.value}", rolling.advice(record))


def _said(rollouts: Rollouts, rollout: str, answer: Answer, *, as_json: bool) -> int:
    _demand(rollouts, rollout, answer)
    record = rollouts.store.rollout(rollout)
    if as_json:
        output.emit({"rollout": rolling.shape(record)})
    else:
        output.out().print(rolling.summary(record), soft_wrap=True)
    return Exit.OK


def _changes(policy: OnwardFlags, record: RolloutRecord) -> dict[str, Any]:
    """The fields that change; what is not said stays as it was."""
    made = rolloutdraft.policy_fields(policy.policy(), record.total)
    said = {
        "max_parallel": policy.max_parallel,
        "per_provider": policy.per_provider,
        "rules": policy.budget,
        "deadline_seconds": policy.deadline,
    }
    return {field: value for field, value in made.items() if said[field] is not None}


def _row(record: RolloutRecord) -> tuple[str, ...]:
    done = f"{record.ended + record.left_out}/{record.total}"
    bad = ", ".join(
        f"{count} {word}"
        for count, word in (
            (record.failed + record.gone, "failed"),
            (record.left_out, "left out"),
            (record.drifted, "drifted"),
        )
        if count
    )
    by = record.trigger if record.scheduled else record.user
    return record.rollout, record.verb, words.moment(record.created_at), escape(by), rolling.state(record), done, bad


def _shape(rollouts: Rollouts, rollout: str) -> dict[str, Any]:
    store = rollouts.store
    record = store.rollout(rollout)
    return rolling.shape(record) | {
        "slots": dict(store.slots(rollout)),
        "to_come": list(store.pending(record)),
        "outcomes": {name: each.model_dump(mode="json") for name, each in store.outcomes(rollout).items()},
        "events": [{**each, "at": float(each["at"])} for each in store.events(rollout)],
    }


def _print(console: Console, base: Base, rollouts: Rollouts, record: RolloutRecord) -> None:
    console.print(rolling.summary(record), soft_wrap=True)
    if not record.over:
        _warn_of_pause(base)
    console.print(f"  by {escape(record.user)} (unauthenticated), {words.moment(record.created_at)}: {record.trigger}")
    console.print(f"  {escape(rolling.plan(record))}", soft_wrap=True)
    for line in rolling.parts(rollouts, record):
        console.print(escape(line), soft_wrap=True)
    if runs := live_runs(base, rollouts.store, record.rollout, _SHOWN_RUNS):
        console.print("\n[bold]going on[/]")
        console.print(progress.table(runs, outlook.read(base)))
        if record.live > len(runs):
            console.print(f"and {record.live - len(runs)} more", style="dim")
    console.print("\n[bold]history[/]")
    for each in rollouts.store.events(record.rollout)[-_SHOWN_EVENTS:]:
        console.print(f"  {words.moment(float(each['at']))}  {escape(_happened(each, record))}", soft_wrap=True)
    of_drift = "`stepmark show` of each that drifted says what to do about it" if record.drifted else ""
    if text := rolling.advice(record) or of_drift:
        console.print(f"\nnext: {escape(text)}", soft_wrap=True)


def _happened(event: Mapping[str, str], record: RolloutRecord) -> str:
    match event["event"]:
        case "wave":
            what = "canary" if record.canary and event["wave"] == "2" else "batch"
            first = f"{event['from']} to " if "from" in event else "up to "
            return f"the {what} has ended; next: environments {first}{event['until']}"
        case "ended":
            return f"ended: {event['status']}"
        case what:
            reason = f": {event['reason']}" if event.get("reason") else ""
            return f"{what} by {event['by']}{reason}{_changed(event.get('changes', ''))}"


def _changed(changes: str) -> str:
    """What an operator has changed of the policy when a rollout was resumed, as `; max parallel 3`."""
    found = json.loads(changes or "{}")
    rules = [Rule.model_validate(each) for each in json.loads(found.pop("rules", "[]"))]
    said = [f"{field.replace('_', ' ')} {value}" for field, value in found.items()]
    return "".join(f"; {each}" for each in (*said, *([policywords.rules(rules)] if rules else [])))
