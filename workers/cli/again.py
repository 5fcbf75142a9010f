"""`resume`, `retry` and `skip`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config.errors import ConfigError
from config.fleet import EnvironmentSpec
from config.rollout import Policy
from tasks.errors import Kind
from workers import leaving, readiness, verbs
from workers.cli import checking, choosing, chosen, connect, enqueue, options, output, preview, rolling
from workers.cli.enqueue import Manner, Start
from workers.cli.going import GoingOn, Wish
from workers.cli.policy import PolicyFlags
from workers.cli.spread import spread
from workers.durations import Durations
from workers.preview import Preview, Previews, Question
from workers.records import RunRecord
from workers.rolloutdraft import RolloutRequest
from workers.rollouts import RESUME
from workers.runtime import Base

ChangedFleet = Annotated[
    Path | None, typer.Option("--fleet", metavar="FILE", help="Go on with what this fleet file declares now.")
]
From = Annotated[str | None, typer.Option("--from", metavar="STEP", help="The step to begin again with.")]
NothingMade = Annotated[
    bool, typer.Option("--nothing-made", help="You have looked: the apply that was cut off has made no host.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would run again, and what has changed.")]
Failed = Annotated[bool, typer.Option("--failed", help="All whose last run failed, or those of the named.")]
FailedStep = Annotated[str | None, typer.Option("--step", metavar="STEP", help="With --failed: only at this step.")]
FailedKind = Annotated[Kind | None, typer.Option("--kind", metavar="KIND", help="With --failed: only of this kind.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SkippedStep = Annotated[str | None, typer.Option("--step", metavar="STEP", help="Refuse if it failed at another one.")]
_NO_ROLLOUT = "how a rollout goes is said with --failed, and without --from and --nothing-made: no other is one"
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded with your name.")]


def resume(
    environments: options.Environments,
    fleet: ChangedFleet = None,
    nothing_made: NothingMade = False,
    dry_run: DryRun = False,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Go on with the last run of environments, from the step that failed or was lost.

    Example: stepmark resume web-3 --dry-run
    """
    base = connect.base()
    wish = Wish(fleet, nothing_made=nothing_made)
    manner = Manner(detach, as_json, check=not no_check)
    return _go_on(base, _last_runs(base, environments), wish, manner, dry_run=dry_run)


@spread
def retry(
    policy: PolicyFlags,
    environments: options.SomeEnvironments = None,
    step: From = None,
    failed: Failed = False,
    failed_step: FailedStep = None,
    kind: FailedKind = None,
    group: options.Group = None,
    label: options.Label = None,
    yes: Yes = False,
    fleet: ChangedFleet = None,
    nothing_made: NothingMade = False,
    dry_run: DryRun = False,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Go on with the last runs of environments from an earlier step, or with all that failed.

    Example: stepmark retry web-3 --from render-ansible-templates

    Example: stepmark retry --failed --step wait-ssh-connectivity --kind timeout --max-parallel 20
    """
    asked = choosing.Failed(failed_step, kind, tuple(group or ()), options.labels(label), tuple(environments or ()))
    # What is said of one run, and no other, is no rollout: from where it goes on, and what its apply has made.
    how = _how(policy, fleet, alone=not failed or step is not None or nothing_made)
    choosing.check(asked, step, all_failed=failed)
    base = connect.base()
    records = asked.runs(base) if failed else _last_runs(base, environments or [])
    if failed and not records:
        output.err().print(f"{choosing.NONE}: there is nothing to try again.")
    elif failed and not dry_run:
        _ask(records, yes=yes)
    manner = Manner(detach, as_json, check=not no_check)
    rolled = len(records) > 1 or (records and policy.given)
    wish = Wish(fleet, step, nothing_made, policy=how if rolled else None)
    return _go_on(base, records, wish, manner, dry_run=dry_run)


def skip(
    environment: options.Environment,
    reason: Why,
    step: SkippedStep = None,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Leave out the step at which an environment's last run failed, and go on after it. It ends as `skipped`.

    Example: stepmark skip web-3 --reason "the proxy blocks updates until Monday"
    """
    base = connect.base()
    records = _last_runs(base, [environment])
    leaving.check(base, records[environment], step)
    wish = Wish(skip=f"skipped by {verbs.whoami()}: {reason}")
    return _go_on(base, records, wish, Manner(detach, as_json, check=not no_check))


def _last_runs(base: Base, names: list[str]) -> dict[str, RunRecord]:
    return {name: connect.last_run(base, base.store.environment(name)) for name in dict.fromkeys(names)}


def _go_on(
    base: Base,
    records: Mapping[str, RunRecord],
    wish: Wish,
    manner: Manner,
    *,
    dry_run: bool = False,
) -> int:
    declared = _declared(wish.fleet, list(records))
    question = Question(wish.step, used=wish.fleet is not None, nothing_made=wish.nothing_made)
    durations = Durations(base) if dry_run else None
    made = Previews(base, question)
    shown = [made.of(record, declared.get(name), durations) for name, record in records.items()]
    if dry_run:
        return preview.show(shown, as_json=manner.as_json)
    if not manner.as_json:
        _tell(shown)
    if wish.policy:
        return _roll(base, records, wish, declared, manner)
    return enqueue.finish(base, _starts(base, records, wish, declared if wish.fleet else {}, manner), manner)


def _roll(
    base: Base, records: Mapping[str, RunRecord], wish: Wish, declared: Mapping[str, EnvironmentSpec], manner: Manner
) -> int:
    """Have them go on as a rollout."""
    specs = {name: connect.spec(base.store.environment(name)) for name in records}
    if wish.fleet:
        specs |= declared
    wanted = {name: readiness.wanted_from(base, record, None, specs[name]) for name, record in records.items()}
    user = verbs.whoami()
    lacking = checking.lacking(base, wanted) if manner.check else {}
    policy = wish.policy or Policy()
    request = RolloutRequest(
        RESUME, tuple(specs.values()), user, f"retry by {user}", policy, left_out=lacking, runs=records
    )
    return rolling.roll(base, request, manner)


def _how(policy: PolicyFlags, fleet: Path | None, *, alone: bool) -> Policy | None:
    """How a rollout is to go: as the fleet file says, if one is there, and the operator; None: there is to be none.

    Raises:
        typer.BadParameter: it cannot be used, or there is to be none and the operator has said how it is to go.
    """
    if alone:
        if policy.given:
            raise typer.BadParameter(_NO_ROLLOUT, param_hint="retry")
        return None
    try:
        declared = chosen.load(fleet).rollout
    except (ConfigError, OSError):
        declared = Policy()
    return policy.over(declared)


def _starts(
    base: Base, records: Mapping[str, RunRecord], wish: Wish, specs: Mapping[str, EnvironmentSpec], manner: Manner
) -> Mapping[str, Start]:
    starts = {name: GoingOn(base, record, wish, specs.get(name)) for name, record in records.items()}
    if not manner.check:
        return starts
    wanted = {}
    for name, record in records.items():
        spec = specs.get(name) or connect.spec(base.store.environment(name))
        wanted[name] = readiness.wanted_from(base, record, wish.step, spec)
    return checking.guarded(base, starts, wanted)


def _declared(fleet: Path | None, names: list[str]) -> dict[str, EnvironmentSpec]:
    """What a fleet file declares now, by name: the one that is given, or what there is of the usual one."""
    if fleet is not None:
        return {spec.name: spec for spec in chosen.Chosen(fleet, names).specs()}
    try:
        return {spec.name: spec for spec in chosen.load(None).environments if spec.name in names}
    except (ConfigError, OSError):
        return {}


def _tell(shown: list[Preview]) -> None:
    for each in shown:
        if changes := preview.changes(each):
            output.err().print(escape(f"{each.environment}: {changes}"), soft_wrap=True)


def _ask(records: Mapping[str, RunRecord], *, yes: bool) -> None:
    console = output.err()
    console.print(f"{len(records)} failed:")
    for name, record in records.items():
        kind = record.failure.error_kind.value if record.failure else ""
        console.print(escape(f"  {name}: {record.workflow} {record.index}/{record.total} {record.step}: {kind}"))
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes", param_hint="retry --failed")
    if not typer.confirm("Go on with them?", default=False, err=True):
        raise typer.Abort
