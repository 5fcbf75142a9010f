"""The root module of an environment: what is written into its workspace, and how OpenTofu is opened there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config.fleet import EnvironmentSpec
from config.providers import registry as declared
from tasks.adapters import cloud_init, ssh, templates, tofu_folder
from tasks.adapters.tofu_folder import Folder
from tasks.context import StepContext
from tasks.providers import registry
from tasks.providers.base import Need

VARIABLES = "stepmark.auto.tfvars.json"
_HOST_KEY = "ssh_host_ed25519_key"


@contextmanager
def opened(context: StepContext) -> Iterator[Folder]:
    """OpenTofu in the workspace, with the state and the secrets within its reach while the block lasts."""
    provider = registry.get(context.environment)
    wanted = provider.secrets(context.environment)
    secrets = {f"TF_VAR_{name}": reference.resolve() for name, reference in wanted.items()}
    for secret in secrets.values():
        context.session.redact.add(secret)
    with context.state() as state:
        env = {**state, **secrets}
        folder = tofu_folder.open_folder(context.workspace, context.settings, context.session, env, context.orphans)
        yield dataclasses.replace(folder, boot=provider.boot)


def not_made_here(context: StepContext) -> str | None:
    """Why hosts of this provider are not made here; None: they are."""
    return registry.get(context.environment).lacks(context.environment).get(Need.PROVISIONING)


def keys(context: StepContext) -> cloud_init.Keys:
    """The login's public key, and the host's own pair; it is made once, and kept in the workspace."""
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


def write(context: StepContext, user_data: str) -> str:
    """Put the root module into the workspace, in place of an older one. Gives its digest."""
    sources = _templates(_sources(context.environment))
    files = {path.name: path.read_text(encoding="utf-8") for path in sources}
    files[VARIABLES] = templates.to_json(_variables(context, user_data))
    for old in context.workspace.glob("*.tf"):
        if old.name not in files:
            old.unlink()
    for file, text in files.items():
        templates.write(context.workspace / file, text)
    return templates.digest(files)


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


def _templates(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _variables(context: StepContext, user_data: str) -> Mapping[str, object]:
    environment = context.environment
    own = registry.get(environment).variables(environment)
    return {**own, "name": environment.name, "user_data": user_data}
