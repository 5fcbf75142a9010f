"""Choosing: the environments whose last run failed as an operator describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from config.fleet import EnvironmentSpec
from tasks.errors import Kind
from tasks.failure import RunStatus
from tasks.workflows import WORKFLOWS
from workers.cli import connect, output
from workers.records import EnvironmentRecord, RunRecord
from workers.refusals import NotFoundError
from workers.runtime import Base

# Where nothing is meant.
NONE = "No environment's last run has failed so; one that was cancelled is meant with `--kind cancelled`"
STEPS = tuple(dict.fromkeys(step.name for workflow in WORKFLOWS.values() for step in workflow.steps))


@dataclass(frozen=True)
class Failed:
    """What is known of the failures that are meant; what is None or empty, does not matter."""

    step: str | None
    kind: Kind | None
    groups: tuple[str, ...]
    labels: Mapping[str, str]
    environments: tuple[str, ...]

    def runs(self, base: Base) -> dict[str, RunRecord]:
        """The last runs of the environments that are meant, by environment.

        Raises:
            NotFoundError: one that is named was never launched, or nothing is in a group or has a label that is named.
        """
        named = [base.store.environment(name) for name in dict.fromkeys(self.environments)]
        every = base.store.environments()
        self._check_names([connect.spec(record) for record in every])
        chosen = [record for record in named or every if self._means(record)]
        runs = base.store.runs(record.last_run for record in chosen if record.last_run)
        return {run.environment: run for run in runs.values() if self._failed(run)}

    def _check_names(self, specs: Sequence[EnvironmentSpec]) -> None:
        """See that each group and label is one of somebody's: another one is a slip of the hand."""
        groups = {group for spec in specs for group in spec.groups}
        if unknown := [group for group in self.groups if group not in groups]:
            known = f"their groups are: {', '.join(sorted(groups)) or 'none'}"
            raise NotFoundError(f"group {unknown[0]!r} among what was launched", known)
        labels = {label for spec in specs for label in spec.labels.items()}
        if strange := [f"{key}={value}" for key, value in self.labels.items() if (key, value) not in labels]:
            known = f"their labels are: {', '.join(sorted(f'{key}={value}' for key, value in labels)) or 'none'}"
            raise NotFoundError(f"label {strange[0]!r} among what was launched", known)

    def _means(self, record: EnvironmentRecord) -> bool:
        spec = connect.spec(record)
        in_groups = not self.groups or not set(self.groups).isdisjoint(spec.groups)
        return record.run is None and in_groups and self.labels.items() <= spec.labels.items()

    def _failed(self, run: RunRecord) -> bool:
        """Whether the run failed so. One that was cancelled is meant only if its kind is asked for."""
        if run.failure is None or run.live or (self.step and run.failure.failed_step != self.step):
            return False
        if self.kind is None:
            return run.status is RunStatus.FAILED
        return run.failure.error_kind is self.kind


@dataclass(frozen=True)
class Failures:
    """Which failures a launch is for; nothing said: for all environments, failed or not."""

    failed: Annotated[bool, typer.Option("--failed", help="Only those whose last run failed.")] = False
    only_step: Annotated[
        str | None, typer.Option("--only-step", metavar="STEP", help="With --failed: only at this step.")
    ] = None
    only_kind: Annotated[
        Kind | None, typer.Option("--only-kind", metavar="KIND", help="With --failed: only of this kind.")
    ] = None

    def check(self) -> None:
        """See that what was said makes sense together.

        Raises:
            typer.BadParameter: it does not.
        """
        if (self.only_step or self.only_kind) and not self.failed:
            raise typer.BadParameter("--only-step and --only-kind go with --failed", param_hint="--failed")
        _known(self.only_step, "--only-step")

    def of(self, base: Base, specs: tuple[EnvironmentSpec, ...]) -> tuple[EnvironmentSpec, ...]:
        """Those of the environments that are meant; says so if they are none."""
        if not self.failed:
            return specs
        runs = Failed(self.only_step, self.only_kind, (), {}, ()).runs(base)
        found = tuple(spec for spec in specs if spec.name in runs)
        if not found:
            output.err().print(f"{NONE}: there is nothing to launch.")
        return found


def check(asked: Failed, step: str | None, *, all_failed: bool) -> None:
    """See that the options of `retry` make sense together.

    Raises:
        typer.BadParameter: they do not.
    """
    _known(asked.step, "--step")
    if all_failed:
        return
    if not asked.environments:
        raise typer.BadParameter("name environments, or say --failed", param_hint="retry")
    if step is None:
        raise typer.BadParameter(
            "say from which step, or --failed; `stepmark resume` goes on where it failed", param_hint="--from"
        )
    if asked.step or asked.kind or asked.groups or asked.labels:
        raise typer.BadParameter("--step, --kind, --group and --label go with --failed", param_hint="retry")


def _known(step: str | None, option: str) -> None:
    if step and step not in STEPS:
        raise typer.BadParameter(f"{step!r} is no step; steps are: {', '.join(STEPS)}", param_hint=option)
