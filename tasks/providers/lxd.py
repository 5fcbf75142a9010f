"""Instances of LXD. Manual: https://documentation.ubuntu.com/lxd/en/latest/reference/manpages/lxc/list/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from config.fleet import EnvironmentSpec, SecretRef
from config.providers.lxd.model import Lxd as Declared
from tasks import errors
from tasks.adapters import process
from tasks.adapters.process import Command
from tasks.context import StepContext
from tasks.providers.base import Found, Need, Provider

_SECONDS = 30.0
# Where the templates look for the address too, first choice first; then any other that is no bridge of the instance's.
_INTERFACES = ("eth0", "enp5s0")


class Lxd:
    """Asks the worker's own `lxc`."""

    name = "lxd"
    resource = "lxd_instance.host"
    boot = ""

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        """All settings, under the same names."""
        return {**environment.provider.model_dump(exclude={"name"}), "ssh_port": environment.ssh.port}

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        """None: the certificates are those of the worker's `lxc`."""
        del environment
        return {}

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        """Nothing: containers may nest, so Docker and a firewall of their own run in them."""
        del environment
        return {}

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        """The instance of the environment's name in its remote and project.

        Raises:
            CannotFindError: there is no `lxc` here.
            InfrastructureError: `lxc` failed.
        """
        declared: Declared = environment.provider
        for instance in _list(declared, environment.name, context):
            if instance.get("name") == environment.name:
                place = f"{declared.remote}:{declared.project}/{environment.name},image={declared.image}"
                stopped = instance.get("status") == "Stopped"
                return Found(next(_addresses(instance), None), place, stopped=stopped)
        return None


def _list(declared: Declared, name: str, context: StepContext) -> list[dict[str, Any]]:
    argv = ("lxc", "list", f"{declared.remote}:", f"^{name}$", "--project", declared.project, "--format", "json")
    try:
        done = process.run(Command(argv, context.workspace, timeout_seconds=_SECONDS), context.session)
    except errors.ToolMissingError as error:
        raise errors.CannotFindError(PROVIDER.name) from error
    try:
        listed = json.loads(done.stdout) if done.exit_status == 0 else None
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        raise errors.InfrastructureError("lxc could not list instances", " ".join(argv), done.exit_status, done.tail)
    return listed


def _addresses(instance: Mapping[str, Any]) -> Iterator[str]:
    """Addresses of an instance of `lxc list`, the best one first.

    {"state": {"network": {"eth0": {"addresses": [{"family": "inet", "scope": "global", "address": "10.0.0.7"}]}}}}
    """
    networks = (instance.get("state") or {}).get("network") or {}
    for name in (*_INTERFACES, *sorted(networks.keys() - {*_INTERFACES, "lo", "docker0"})):
        for address in (networks.get(name) or {}).get("addresses") or ():
            if address.get("family") == "inet" and address.get("scope") == "global":
                yield str(address["address"])


PROVIDER: Provider = Lxd()
