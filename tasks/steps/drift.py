"""The step that looks for drift: whether a host is still what is declared. It changes nothing, here or there."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import errors
from tasks import failure as failures
from tasks.adapters import cloud_init, scratch, tofu, tofu_salvage
from tasks.adapters.tofu import Difference
from tasks.context import StepContext
from tasks.environment import MISSING, STOPPED
from tasks.facts import Facts
from tasks.providers import registry
from tasks.result import Drift, Ending, Result
from tasks.steps import root
from tasks.steps.registry import step

_DATA = ".terraform"
_REGISTERED = "the host was registered, not made here: no plan can tell what it should be"
_UNSAVED = "{} in the workspace, left by an earlier apply, must be saved first: `stepmark provision` does"


@step("tofu.look_for_drift")
def look(facts: Facts, context: StepContext) -> Result:
    """Plan anew, from what is declared now and the templates as they are now, and ask the provider for the host.

    Raises:
        StateError, OrphanedStateError: a state of an earlier apply was not saved, or waits to be settled.
    """
    if root.not_made_here(context):
        return Result(facts, Ending.NOT_POSSIBLE, _REGISTERED)
    if facts.tofu_digest is None:
        return Result(facts, Ending.SKIPPED, "nothing was ever made")
    if left := tofu_salvage.errored(context.workspace):
        raise errors.StateError(_UNSAVED.format(left[0].name))
    context.orphans.check()
    with _apart(context) as apart:
        root.write(apart, cloud_init.user_data(apart.environment, root.keys(apart)))
        with root.opened(apart) as folder:
            found = tofu.compare(folder)
    said = [*found.resources, *_at_the_provider(found, context)]
    if found.changed and not said:
        said = ["outputs only"]
    drift = Drift(found.summary, failures.one_line(context.session.redact(", ".join(said))))
    return Result(facts, Ending.DONE if said else Ending.UNCHANGED, drift.summary, drift)


@contextmanager
def _apart(context: StepContext) -> Iterator[StepContext]:
    """A copy of the workspace to work in; what is downloaded is shared with the workspace, being only a cache."""
    with scratch.folder() as folder:
        copy = folder / "workspace"
        shutil.copytree(context.workspace, copy, ignore=shutil.ignore_patterns(_DATA, tofu.PLAN, "*.tfstate"))
        data = context.workspace / _DATA
        data.mkdir(exist_ok=True)
        (copy / _DATA).symlink_to(data)
        yield dataclasses.replace(context, workspace=copy)


def _at_the_provider(found: Difference, context: StepContext) -> Iterator[str]:
    """What the provider says of a host that the state knows. Not every state is able to tell: it is only read anew."""
    provider = registry.get(context.environment)
    if any(planned.startswith(f"{provider.resource}: create") for planned in found.resources):
        return
    try:
        host = provider.find(context.environment, context)
    except errors.CannotFindError:
        return
    if host is None:
        yield f"{provider.resource}: {MISSING}"
    elif host.stopped:
        yield f"{provider.resource}: host {host.id} {STOPPED}"
