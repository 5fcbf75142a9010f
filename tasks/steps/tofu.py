"""The steps that OpenTofu does: make the host, learn its address, and end it again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from tasks import errors
from tasks.adapters import cloud_init, tofu, tofu_salvage
from tasks.adapters.tofu import Plan
from tasks.adapters.tofu_folder import Folder
from tasks.context import StepContext
from tasks.facts import Facts, PlanSummary
from tasks.providers import registry
from tasks.result import Ending, Result
from tasks.steps import root
from tasks.steps.registry import step

_OTHER_PROVIDER = (
    "the host was made here, but provider {} makes and ends none: "
    "put the provider that made it back in the fleet file, then destroy"
)
_LEAKED = (
    "the host {} runs, but no state knows it: if the worker that applied has "
    + tofu_salvage.ERRORED
    + " in its workspace of this environment, run destroy there; else end the host by hand, then run destroy again"
)
# Why a plan that replaces something needs no leave.
_START = "it replaces the start of the host, which loses nothing"
_NOBODY_KNOWS = (
    "an earlier apply was cut off, the state knows no host, and {}: see by hand whether {} was made; "
    "if not, `stepmark resume {} --nothing-made`"
)


@step("tofu.render")
def render(facts: Facts, context: StepContext) -> Result:
    """Write the provider's templates, the variables and the cloud-init user-data.

    Learns `tofu_digest`, `templates_digest` and `host_key`.

    The host key is made once and kept in the workspace: another one would be other user-data, hence another host.

    Raises:
        ConfigurationError: hosts of this provider are not made here.
        TemplateError: the operator's user-data template cannot be rendered.
    """
    if reason := root.not_made_here(context):
        raise errors.ConfigurationError(f"{context.environment.name} cannot be provisioned: {reason}")
    keys = root.keys(context)
    user_data = cloud_init.user_data(context.environment, keys)
    digest, sources = root.write(context, user_data), root.templates_digest(context.environment)
    update = {
        "tofu_digest": digest,
        "templates_digest": sources,
        "host_key": keys.host_public,
        "host_key_source": "given",
    }
    return _learned(facts, update)


@step("tofu.init")
def init(facts: Facts, context: StepContext) -> Result:
    """Fetch the providers. Learns `provider_lock`; `built-in` where no other provider is needed."""
    with root.opened(context) as folder:
        return _learned(facts, {"provider_lock": tofu.init(folder) or "built-in"})


@step("tofu.validate")
def validate(facts: Facts, context: StepContext) -> Result:
    """Check what was rendered."""
    with root.opened(context) as folder:
        tofu.validate(folder)
    return Result(facts)


@step("tofu.plan")
def plan(facts: Facts, context: StepContext) -> Result:
    """Plan, and save the plan. Learns `plan`."""
    with root.opened(context) as folder:
        made = tofu.plan(folder, allow_destroy=context.options.allow_destroy)
    ending = Ending.DONE if made.changed else Ending.UNCHANGED
    return Result(facts.model_copy(update={"plan": made.summary}), ending, _to_do(made))


@step("tofu.apply")
def apply(facts: Facts, context: StepContext) -> Result:
    """Apply the saved plan, or a new one if the state has moved on since. Learns `state_serial`, and `plan` if new.

    After an apply that was cut off it looks first whether that one made a host, and takes it into the state.

    Raises:
        UnknownOutcomeError: nobody but the operator can look.
    """
    with root.opened(context) as folder:
        seen = _look_for_a_host(folder, context) if context.uncertain else None
        applied = tofu.apply(folder, allow_destroy=context.options.allow_destroy)
        serial = tofu.serial(folder)
    update = {"plan": applied.plan.summary if applied.plan else facts.plan, "state_serial": serial}
    # Outputs alone may change too: nothing is counted then, but the serial grows.
    nothing = applied.changes == tofu.NOTHING and facts.state_serial in {None, serial}
    ending = Ending.UNCHANGED if nothing else Ending.DONE
    start = _START if applied.plan and applied.plan.starts else None
    note = "; ".join(filter(None, (_did(applied.changes), start, seen)))
    return Result(facts.model_copy(update=update), ending, note)


@step("tofu.read_instance")
def read_instance(facts: Facts, context: StepContext) -> Result:
    """Learn `address`, `ssh_port` and the instance's name, image and status from the applied state."""
    with root.opened(context) as folder:
        info = tofu.output(folder)
    update = {
        "address": str(info.ip_address),
        "ssh_port": info.ssh_port,
        "instance_name": info.name,
        "instance_image": info.image,
        "instance_status": info.status,
    }
    return _learned(facts, update)


@step("tofu.destroy")
def destroy(facts: Facts, context: StepContext) -> Result:
    """End the host. Learns `instance_status` (`destroyed`) and `state_serial`.

    Raises:
        ConfigurationError: hosts of this provider are not made here, but this one was: by another provider.
        StateError: the provider still has the host, which no state knows.
    """
    if facts.tofu_digest is None:
        reason = "the host was registered, not made here" if root.not_made_here(context) else "nothing was ever made"
        return Result(facts, Ending.SKIPPED, reason)
    if root.not_made_here(context):
        raise errors.ConfigurationError(_OTHER_PROVIDER.format(context.environment.provider.name))
    if not (context.workspace / root.VARIABLES).exists():
        # What a host was told at its first boot does not matter to its end, and a key may be gone by now.
        root.write(context, user_data="")
    with root.opened(context) as folder:
        ended = tofu.destroy(folder)
        serial = tofu.serial(folder)
    doubt = _look_for_a_leak(context)
    ending = Ending.DONE if ended.destroy else Ending.UNCHANGED
    update = {"instance_status": "destroyed", "state_serial": serial}
    return Result(facts.model_copy(update=update), ending, "; ".join(filter(None, (_did(ended), doubt))))


@step("workspace.clean")
def clean_workspace(facts: Facts, context: StepContext) -> Result:
    """Empty the workspace.

    Raises:
        StateError: a state lies there that the store has not taken.
    """
    if left := tofu_salvage.errored(context.workspace):
        raise errors.StateError(f"{left[0].name} in the workspace has not been saved: run destroy from its first step")
    entries = list(context.workspace.iterdir())
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return Result(facts, Ending.DONE if entries else Ending.UNCHANGED)


def _look_for_a_host(folder: Folder, context: StepContext) -> str:
    """See that the state knows the host that an apply which was cut off may have made. Gives what was seen.

    Raises:
        UnknownOutcomeError: the provider cannot look, and the operator has not.
    """
    tofu.ensure_init(folder)
    tofu_salvage.salvage(folder)
    (folder.path / tofu.PLAN).unlink(missing_ok=True)
    provider, name = registry.get(context.environment), context.environment.name
    if provider.resource in tofu_salvage.current(folder).resources:
        return "the earlier apply had made the host"
    try:
        found = provider.find(context.environment, context)
    except errors.CannotFindError as error:
        if not context.options.nothing_made:
            raise errors.UnknownOutcomeError(_NOBODY_KNOWS.format(error, name, name)) from error
        return "the operator saw that the earlier apply had made no host"
    if found is None:
        return "the earlier apply had made no host"
    if found.importable:
        tofu.adopt(folder, provider.resource, found.id)
    return f"host {found.id} of the earlier apply was taken over"


def _look_for_a_leak(context: StepContext) -> str | None:
    """Ask the provider whether the host is gone: a state that was lost, or never taken, cannot tell. Gives any doubt.

    Raises:
        StateError: it is not.
    """
    try:
        found = registry.get(context.environment).find(context.environment, context)
    except errors.CannotFindError as error:
        # No reason to keep an environment for ever.
        return str(error)
    if found is not None:
        raise errors.StateError(_LEAKED.format(found.id))
    return None


def _learned(facts: Facts, update: Mapping[str, object]) -> Result:
    learned = facts.model_copy(update=update)
    return Result(learned, Ending.UNCHANGED if learned == facts else Ending.DONE)


def _to_do(made: Plan) -> str:
    changes = made.summary
    counts = f"{changes.add} to add, {changes.change} to change, {changes.destroy} to destroy"
    return f"{counts}; {_START}" if made.starts else counts


def _did(changes: PlanSummary) -> str:
    return f"{changes.add} added, {changes.change} changed, {changes.destroy} destroyed"
