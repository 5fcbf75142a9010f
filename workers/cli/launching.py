"""`up`, `provision`, `configure`, `register`, `drift`, `destroy`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.fleet import EnvironmentSpec
from tasks.context import Options
from tasks.failure import RunStatus
from tasks.workflows.drift import DRIFT_CHECK
from workers import celery, readiness, runlog, verbs
from workers.cli import checking, connect, enqueue, options, output, rolling, words
from workers.cli.choosing import Failures
from workers.cli.chosen import Chosen
from workers.cli.enqueue import Manner, Start
from workers.cli.policy import PolicyFlags
from workers.cli.reports import Exit
from workers.cli.spread import spread
from workers.launch import Launcher, Request
from workers.records import EnvironmentRecord, RunRecord
from workers.refusals import BusyError
from workers.rolloutdraft import RolloutRequest
from workers.rolloutrecord import Outcome
from workers.runtime import Base

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Plan = Annotated[bool, typer.Option("--plan", help="Stop before anything is changed, and show the plan.")]
_PLAN_STEP = "opentofu-plan"


@spread
def up(
    chosen: Chosen,
    failed: Failures,
    policy: PolicyFlags,
    allow_destroy: options.AllowDestroy = False,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Provision (or register) the environments of a fleet, then configure them. Of several it is a rollout.

    Example: stepmark up examples/demo.yaml --group web

    Example: stepmark up fleet.yaml --canary 5% --batch 100 --budget 10 --budget opentofu-apply/quota=1
    """
    manner = Manner(detach, as_json, check=not no_check)
    return _launch("up", Wanted(chosen, failed, policy, Options(allow_destroy=allow_destroy)), manner)


@spread
def provision(
    chosen: Chosen,
    failed: Failures,
    policy: PolicyFlags,
    plan: Plan = False,
    allow_destroy: options.AllowDestroy = False,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Make the hosts and wait until they are ready; with --plan, only say what would be made.

    Example: stepmark provision fleet.yaml --env web-1 --plan
    """
    if plan and detach:
        raise typer.BadParameter("a plan is shown when it is made: leave out --detach", param_hint="--plan")
    manner = Manner(detach, as_json, check=not no_check)
    wanted = Wanted(chosen, failed, policy, Options(allow_destroy=allow_destroy))
    return _plan(wanted, manner) if plan else _launch("provision", wanted, manner)


@spread
def configure(
    chosen: Chosen,
    failed: Failures,
    policy: PolicyFlags,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Configure hosts that have been provisioned or registered.

    Example: stepmark configure fleet.yaml --label tier=web
    """
    return _launch("configure", Wanted(chosen, failed, policy), Manner(detach, as_json, check=not no_check))


@spread
def register(
    chosen: Chosen,
    failed: Failures,
    policy: PolicyFlags,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Take on hosts that already exist.

    Example: stepmark register fleet.yaml --env old-1
    """
    return _launch("register", Wanted(chosen, failed, policy), Manner(detach, as_json, check=not no_check))


@spread
def drift(
    chosen: Chosen,
    failed: Failures,
    policy: PolicyFlags,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Look whether hosts are still what is declared; nothing is changed. Exit status 6 if one is not.

    Example: stepmark drift fleet.yaml --group web
    """
    return _launch(DRIFT_CHECK.name, Wanted(chosen, failed, policy), Manner(detach, as_json, check=not no_check))


def destroy(
    environments: options.Environments,
    yes: Yes = False,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Destroy the hosts of environments; their history and traces stay. Asks first.

    Example: stepmark destroy web-1 web-2 --yes
    """
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes", param_hint="destroy")
    base = connect.base()
    records = [base.store.environment(name) for name in dict.fromkeys(environments)]
    if not yes:
        _ask(records)
    specs = [connect.spec(record) for record in records]
    manner = Manner(detach, as_json, check=not no_check)
    return enqueue.finish(base, _starts(base, "destroy", specs, Options(), manner), manner)


@dataclass(frozen=True)
class Wanted:
    """What is to be launched, as the operator said it."""

    chosen: Chosen
    failed: Failures
    policy: PolicyFlags
    options: Options = field(default_factory=Options)


def _launch(verb: str, wanted: Wanted, manner: Manner) -> int:
    """Launch over what is wanted: over one environment directly, over several as a rollout."""
    fleet = wanted.chosen.read()
    policy = wanted.policy.over(verbs.policy(verb, fleet.rollout))
    specs = wanted.chosen.of(fleet)
    wanted.failed.check()
    base = connect.base()
    specs = wanted.failed.of(base, specs)
    if len(specs) < 2 and not wanted.policy.given:
        return enqueue.finish(base, _starts(base, verb, specs, wanted.options, manner), manner)
    if not specs:
        return Exit.OK
    user = verbs.whoami()
    lacking = _lacking(base, verb, specs) if manner.check else {}
    request = RolloutRequest(verb, specs, user, f"{verb} by {user}", policy, wanted.options, lacking)
    return rolling.roll(base, request, manner)


def _lacking(base: Base, verb: str, specs: Iterable[EnvironmentSpec]) -> dict[str, Outcome]:
    """Those whose workers lack something that they need."""
    items = {spec.name: readiness.wanted(base, spec, verbs.workflows(verb, spec)) for spec in specs}
    return checking.lacking(base, items)


def _starts(
    base: Base, verb: str, specs: Iterable[EnvironmentSpec], chosen: Options, manner: Manner
) -> dict[str, Start]:
    launcher, user = Launcher(base, celery.app), verbs.whoami()
    starts: dict[str, Start] = {}
    wanted = {}
    for spec in specs:
        request = Request(spec, verbs.workflows(verb, spec), user, f"{verb} by {user}", chosen)
        run = partial(_run_over_lost, base) if verb == "destroy" else _run
        starts[spec.name] = partial(run, launcher, request)
        wanted[spec.name] = readiness.wanted(base, spec, request.workflows)
    return checking.guarded(base, starts, wanted) if manner.check else starts


def _run(launcher: Launcher, request: Request) -> str:
    return launcher.launch(request).run


def _run_over_lost(base: Base, launcher: Launcher, request: Request) -> str:
    """Launch; a lost run that holds the environment is ended, and not taken over by a worker."""
    try:
        return _run(launcher, request)
    except BusyError as error:
        holder = base.store.run(error.run)
        if holder.display is RunStatus.LOST:
            base.tracker.cancel(holder, request.user, f"{request.environment.name} is to be destroyed")
        raise


def _ask(records: list[EnvironmentRecord]) -> None:
    console = output.err()
    console.print("This destroys:")
    for record in records:
        console.print(f"  {record.name}: {record.state.value}, provider {connect.spec(record).provider.name}")
    if not typer.confirm("Go on?", default=False, err=True):
        raise typer.Abort


def _plan(wanted: Wanted, manner: Manner) -> int:
    specs = wanted.chosen.specs()
    wanted.failed.check()
    base = connect.base()
    starts = _starts(base, "plan", wanted.failed.of(base, specs), wanted.options, manner)
    found, interrupted = enqueue.Enqueued(base, starts, manner).perform()
    plans = {outcome.environment: _made(base, outcome.run) for outcome in found if outcome.run}
    if not manner.as_json:
        for name, plan in plans.items():
            output.out().print(f"[bold]{name}[/]: {escape(plan['summary'])}\n{escape(plan['text'])}")
    return enqueue.conclude(base, found, manner, interrupted=interrupted, plans=plans)


def _made(base: Base, run: RunRecord) -> dict[str, Any]:
    """The plan that a run made: the counts, a line about them and what else its step said, what OpenTofu printed."""
    text = "\n".join(entry.text for entry in runlog.read(base.client, base.keys, run.run) if entry.step == _PLAN_STEP)
    counts = base.store.facts(run.environment).plan
    notes = [step.note for step in run.completed if step.step == _PLAN_STEP]
    if counts is None or not notes:
        return {"counts": None, "summary": "no plan was made", "text": text}
    return {"counts": counts.model_dump(), "summary": words.planned(counts, notes[-1]), "text": text}
