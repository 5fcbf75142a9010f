"""The steps that OpenTofu does: make the host, learn its address, and end it again."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config.fleet import EnvironmentSpec
from config.providers import registry as declared
from tasks import errors
from tasks.adapters import cloud_init, ssh, templates, tofu, tofu_folder, tofu_salvage
from tasks.adapters.tofu_folder import Folder
from tasks.context import StepContext
from tasks.facts import Facts, PlanSummary
from tasks.providers import registry
from tasks.providers.base import Need
from tasks.result import Ending, Result
from tasks.steps.registry import step

_HOST_KEY = "ssh_host_ed25519_key"
_VARIABLES = "stepmark.auto.tfvars.json"
_OTHER_PROVIDER = (
    "the host was made here, but provider {} makes and ends none: "
    "put the provider that made it back in the fleet file, then destroy"
)
_LEAKED = (
    "the host {} runs, but no state knows it: if the worker that applied has "
    + tofu_salvage.ERRORED
    + " in its workspace of this environment, run destroy there; else end the host by hand, then run destroy again"
)
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
    if reason := _not_made_here(context):
        raise errors.ConfigurationError(f"{context.environment.name} cannot be provisioned: {reason}")
    keys = _keys(context)
    user_data = cloud_init.user_data(context.environment, keys)
    digest, sources = _write(context, user_data), templates_digest(context.environment)
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
    with _folder(context) as folder:
        return _learned(facts, {"provider_lock": tofu.init(folder) or "built-in"})


@step("tofu.validate")
def validate(facts: Facts, context: StepContext) -> Result:
    """Check what was rendered."""
    with _folder(context) as folder:
        tofu.validate(folder)
    return Result(facts)


@step("tofu.plan")
def plan(facts: Facts, context: StepContext) -> Result:
    """Plan, and save the plan. Learns `plan`."""
    with _folder(context) as folder:
        made = tofu.plan(folder, allow_destroy=context.options.allow_destroy)
    ending = Ending.DONE if made.changed else Ending.UNCHANGED
    return Result(facts.model_copy(update={"plan": made.summary}), ending, _to_do(made.summary))


@step("tofu.apply")
def apply(facts: Facts, context: StepContext) -> Result:
    """Apply the saved plan, or a new one if the state has moved on since. Learns `state_serial`, and `plan` if new.

    After an apply that was cut off it looks first whether that one made a host, and takes it into the state.

    Raises:
        UnknownOutcomeError: nobody but the operator can look.
    """
    with _folder(context) as folder:
        seen = _look_for_a_host(folder, context) if context.uncertain else None
        applied = tofu.apply(folder, allow_destroy=context.options.allow_destroy)
        serial = tofu.serial(folder)
    update = {"plan": applied.plan.summary if applied.plan else facts.plan, "state_serial": serial}
    # Outputs alone may change too: nothing is counted then, but the serial grows.
    nothing = applied.changes == tofu.NOTHING and facts.state_serial in {None, serial}
    ending = Ending.UNCHANGED if nothing else Ending.DONE
    return Result(facts.model_copy(update=update), ending, "; ".join(filter(None, (_did(applied.changes), seen))))


@step("tofu.read_instance")
def read_instance(facts: Facts, context: StepContext) -> Result:
    """Learn `address`, `ssh_port` and the instance's name, image and status from the applied state."""
    with _folder(context) as folder:
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
        reason = "the host was registered, not made here" if _not_made_here(context) else "nothing was ever made"
        return Result(facts, Ending.SKIPPED, reason)
    if _not_made_here(context):
        raise errors.ConfigurationError(_OTHER_PROVIDER.format(context.environment.provider.name))
    if not (context.workspace / _VARIABLES).exists():
        # What a host was told at its first boot does not matter to its end, and a key may be gone by now.
        _write(context, user_data="")
    with _folder(context) as folder:
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


def templates_digest(environment: EnvironmentSpec) -> str:
    """A digest of the templates that the first step would render now, as they are on this machine.

    Raises:
        OSError: the operator's own template cannot be read here.
    """
    files = {path.name: path.read_text(encoding="utf-8") for path in _templates(_sources(environment))}
    if own := environment.parameters.cloud_init.template:
        files["cloud-init"] = Path(own).expanduser().read_text(encoding="utf-8")
    return templates.digest(files)


def _sources(environment: EnvironmentSpec) -> Path:
    return declared.templates(environment.provider.name)


@contextmanager
def _folder(context: StepContext) -> Iterator[Folder]:
    provider = registry.get(context.environment)
    wanted = provider.secrets(context.environment)
    secrets = {f"TF_VAR_{name}": reference.resolve() for name, reference in wanted.items()}
    for secret in secrets.values():
        context.session.redact.add(secret)
    with context.state() as state:
        env = {**state, **secrets}
        folder = tofu_folder.open_folder(context.workspace, context.settings, context.session, env, context.orphans)
        yield dataclasses.replace(folder, boot=provider.boot)


def _not_made_here(context: StepContext) -> str | None:
    return registry.get(context.environment).lacks(context.environment).get(Need.PROVISIONING)


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


def _keys(context: StepContext) -> cloud_init.Keys:
    login = cloud_init.public_key(context.environment.ssh.key.resolve())
    path = context.workspace / _HOST_KEY
    if path.exists():
        private = path.read_text(encoding="utf-8")
        public = cloud_init.public_key(private)
    else:
        private, public = ssh.generate_host_key()
        templates.write(path, private)
    context.session.redact.add(private)
    return cloud_init.Keys(login, private, public)


def _write(context: StepContext, user_data: str) -> str:
    """Put the root module into the workspace, in place of an older one. Gives its digest."""
    sources = _templates(_sources(context.environment))
    files = {path.name: path.read_text(encoding="utf-8") for path in sources}
    files[_VARIABLES] = templates.to_json(_variables(context, user_data))
    for old in context.workspace.glob("*.tf"):
        if old.name not in files:
            old.unlink()
    for file, text in files.items():
        templates.write(context.workspace / file, text)
    return templates.digest(files)


def _templates(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _variables(context: StepContext, user_data: str) -> Mapping[str, object]:
    environment = context.environment
    own = registry.get(environment).variables(environment)
    return {**own, "name": environment.name, "user_data": user_data}


def _learned(facts: Facts, update: Mapping[str, object]) -> Result:
    learned = facts.model_copy(update=update)
    return Result(learned, Ending.UNCHANGED if learned == facts else Ending.DONE)


def _to_do(changes: PlanSummary) -> str:
    return f"{changes.add} to add, {changes.change} to change, {changes.destroy} to destroy"


def _did(changes: PlanSummary) -> str:
    return f"{changes.add} added, {changes.change} changed, {changes.destroy} destroyed"
