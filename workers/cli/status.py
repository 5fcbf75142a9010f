"""`status`: imports little, and reads rows instead of records, so that a fleet is looked at in a moment."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from config import settings as settings_module
from tasks.errors import Kind
from workers import connection
from workers.cli import lazy, options, outlook, summary, wanted, words
from workers.cli.outlook import Outlook
from workers.cli.wanted import Wanted
from workers.firingrecord import SCHEDULED, Firing
from workers.keys import Keys
from workers.overview import Overview, Overviews

# More environments are summed up.
_MOST_SHOWN = 50
_MOST_LEFT_OUT = 5

SomeEnvironments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ENV...]", help="Default: all.", autocompletion=options.complete_environment),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="First show the runs that go on, until they have ended.")]
Each = Annotated[bool, typer.Option("--all", help="One line an environment, however many there are.")]
States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="Only in this state, or with a run in it (repeatable)."),
]
Steps = Annotated[
    list[str] | None, typer.Option("--step", metavar="STEP", help="Only whose run is at this step (repeatable).")
]
Kinds = Annotated[
    list[Kind] | None, typer.Option("--kind", metavar="KIND", help="Only with a failure of this kind (repeatable).")
]


def status(
    environments: SomeEnvironments = None,
    follow: Follow = False,
    each: Each = False,
    state: States = None,
    step: Steps = None,
    kind: Kinds = None,
    group: options.Group = None,
    label: options.Label = None,
    as_json: options.Json = False,
) -> int:
    """List environments: their state, where their run is, and how the last one failed. Of many, a summary.

    Example: stepmark status web-1 web-2 --follow

    Example: stepmark status --state failed --step wait-ssh-connectivity --all
    """
    asked = Wanted(
        names=tuple(dict.fromkeys(environments or ())),
        states=wanted.states(state or ()),
        steps=frozenset(step or ()),
        kinds=frozenset(map(str, kind or ())),
        groups=frozenset(group or ()),
        labels=options.labels(label),
    )
    settings = settings_module.load()
    overviews = Overviews(connection.connect(settings), Keys(settings.key_prefix))
    ended = lazy.module("fleet").follow(asked, as_json=as_json) if follow else 0
    found = asked.look(overviews)
    _see_all_named(asked, found)
    if as_json:
        lazy.module("fleet").emit(found)
    else:
        _print(found, outlook.of(found, settings), asked, each=each)
        _tell_left_out(found, overviews, everything=asked.everything)
        if asked.everything:
            _tell_paused(overviews)
    return int(ended)


def _see_all_named(asked: Wanted, found: Overview) -> None:
    """Every environment that is named must be there.

    Raises:
        NotFoundError, RefusedError: one was never launched, is gone since, or is another version's.
    """
    if asked.names and len(found.rows) < len(asked.names):
        base = lazy.module("connect").base()
        for name in asked.names:
            base.store.environment(name)


def _print(found: Overview, around: Outlook, asked: Wanted, *, each: bool) -> None:
    if each or len(found.rows) > _MOST_SHOWN:
        paused = [f"{outlook.words(around.paused)}; `stepmark unpause` goes on.", ""] if around.paused else []
        lines = summary.each(found, around, found.rows) if each else summary.lines(found, around)
        _write([*paused, *lines])
    elif found.rows:
        lazy.module("table").show(found, around)
    elif asked.everything:
        print("There are no environments yet: `stepmark up` makes the first.", file=sys.stderr)
    else:
        print("No environment is as you asked.", file=sys.stderr)


def _tell_left_out(found: Overview, overviews: Overviews, *, everything: bool) -> None:
    """What the last firings of schedules did not launch: nobody was there to be told, or not to the end.

    Of the whole fleet where all of it is shown; else only of the environments that are.
    """
    shown = {row.environment for row in found.rows}
    firings = [*map(Firing.model_validate_json, found.firings)]
    counts = overviews.left_out([firing.rollout for firing in firings if firing.rollout]) if everything else {}
    for firing in firings:
        for line in _left_out(firing, None if everything else shown, counts.get(firing.rollout or "")):
            print(line, file=sys.stderr)


def _tell_paused(overviews: Overviews) -> None:
    """Which rollouts of schedules wait for an operator: firings after them are held up."""
    for rollout, trigger, by, reason in overviews.paused_rollouts():
        if trigger.startswith(SCHEDULED):
            print(f"{trigger}: rollout {rollout} is paused by {by}: {reason or 'no reason given'}", file=sys.stderr)


def _write(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _left_out(firing: Firing, shown: set[str] | None, counts: tuple[int, int] | None) -> list[str]:
    """shown: None: all.

    counts: how many environments its rollout has left out, and of how many; None: nobody knows, or is to be told.
    """
    left_out = ({"everything": firing.reason} if firing.reason else {}) | dict(firing.left_out)
    told = len(firing.left_out) if firing.by else 0  # who fired it by hand was told of these, and of no later ones
    if firing.by:
        left_out = {}
    names = [name for name in left_out if shown is None or name in shown]
    at = words.moment(firing.fired_at)
    what = f"schedule {firing.schedule} left out"
    said = [f"{what} {name} at {at}: {left_out[name]}" for name in names[:_MOST_LEFT_OUT]]
    if counts and counts[0] > max(len(said), told):
        rollout = f"rollout {firing.rollout} left out {counts[0]} of {counts[1]}"
        said.append(f"schedule {firing.schedule}: {rollout}: stepmark rollout show {firing.rollout}")
    elif len(names) > _MOST_LEFT_OUT:
        said.append(f"{what} {len(names) - _MOST_LEFT_OUT} more at {at}")
    return said
