"""`resume` and `retry`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.fleet import EnvironmentSpec
from workers import celery, readiness, verbs
from workers.cli import checking, connect, enqueue, options
from workers.cli.enqueue import Manner, Start
from workers.launch import Launcher, Resumption
from workers.records import RunRecord
from workers.runtime import Base

ChangedFleet = Annotated[
    Path | None, typer.Option("--fleet", metavar="FILE", help="Go on with what this fleet file declares now.")
]
From = Annotated[str, typer.Option("--from", metavar="STEP", help="The step to begin again with.")]


def resume(
    environments: options.Environments,
    fleet: ChangedFleet = None,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Go on with the last run of environments, from the step that failed or was lost.

    Example: stepmark resume web-3 --fleet fleet.yaml
    """
    return _go_on(environments, fleet, None, Manner(detach, as_json, check=not no_check))


def retry(
    environment: options.Environment,
    step: From,
    fleet: ChangedFleet = None,
    detach: options.Detach = False,
    no_check: options.NoCheck = False,
    as_json: options.Json = False,
) -> int:
    """Go on with the last run of an environment, from an earlier step.

    Example: stepmark retry web-3 --from render-ansible-templates
    """
    return _go_on([environment], fleet, step, Manner(detach, as_json, check=not no_check))


def _go_on(names: list[str], fleet: Path | None, step: str | None, manner: Manner) -> int:
    specs = {spec.name: spec for spec in options.Chosen(fleet, names, None, None).specs()} if fleet else {}
    base = connect.base()
    records = {name: base.store.environment(name) for name in dict.fromkeys(names)}
    runs = {name: connect.last_run(base, record) for name, record in records.items()}
    starts = {name: _start(base, run, step, specs.get(name)) for name, run in runs.items()}
    if manner.check:
        declared = {name: specs.get(name) or connect.spec(record) for name, record in records.items()}
        wanted = {name: readiness.wanted_from(base, run, step, declared[name]) for name, run in runs.items()}
        starts = checking.guarded(base, starts, wanted)
    return enqueue.finish(base, starts, manner)


def _start(base: Base, record: RunRecord, step: str | None, spec: EnvironmentSpec | None) -> Start:
    launcher = Launcher(base, celery.app)
    return lambda: launcher.resume(base.store.run(record.run), Resumption(step, spec), verbs.whoami()).run
