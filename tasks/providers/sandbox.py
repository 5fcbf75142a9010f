"""Hosts on the worker's own machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from config import settings
from config.fleet import EnvironmentSpec, SecretRef
from config.providers.sandbox.model import Sandbox as Declared
from tasks import errors
from tasks.context import StepContext
from tasks.providers.base import Found, Need, Provider
from tasks.sandbox import api, control, ladder, store
from tasks.sandbox.model import HostKind

_NO_SERVICES = {
    Need.SERVICES: "nothing in a {kind} host starts services",
    Need.CONTAINERS: "no container engine can run in a {kind} host",
}
_LACKS: Mapping[HostKind, Mapping[Need, str]] = MappingProxyType(
    {
        HostKind.LIGHT: _NO_SERVICES,
        HostKind.ROOTLESS: {
            **_NO_SERVICES,
            Need.PACKAGES: "a {kind} host shows the machine's own programs, read-only",
            Need.FIREWALL: "a {kind} host has no network of its own that SSH passes",
        },
        HostKind.FULL: {},
    }
)


class Sandbox:
    """Made by `python -m tasks.sandbox`, which the templates call."""

    name = "sandbox"
    resource = "terraform_data.host"
    boot = "terraform_data.boot"

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        """The host's kind, address and switches; the address is allotted to its name here, and kept.

        Raises:
            ConfigurationError: `host: auto`, and this machine can make neither light nor rootless hosts.
        """
        declared: Declared = environment.provider
        directory = _directory(declared)
        return {
            **declared.model_dump(include={"ssh_port", "cloud_init", "packages", "listen", "fail_boot"}),
            "kind": _kind(declared.host),
            "directory": str(directory),
            "address": store.allot(directory, environment.name, declared.ssh_port),
            "program": [sys.executable, "-P", "-m", "tasks.sandbox"],
            "python_path": control.python_path(),
        }

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        """None."""
        del environment
        return {}

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        """What its kind of host cannot do."""
        kind = _kind(environment.provider.host)
        return {need: reason.format(kind=kind) for need, reason in _LACKS[kind].items()}

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        """The host of that name in the sandbox, whether it runs or not."""
        del context
        host = api.status(_directory(environment.provider), environment.name)
        if host is None:
            return None
        return Found(host.ip_address, environment.name, importable=False, stopped=host.status == "stopped")


def _directory(declared: Declared) -> Path:
    directory = declared.directory or settings.load().data_dir / "sandbox"
    return directory.expanduser().absolute()


@lru_cache(maxsize=4)
def _kind(host: str) -> HostKind:
    """What `auto` means on this machine, found out once a process."""
    if host != "auto":
        return HostKind(host)
    kind = ladder.look().kind
    if kind is None:
        raise errors.ConfigurationError("this machine can make neither light nor rootless hosts: see `stepmark doctor`")
    return kind


PROVIDER: Provider = Sandbox()
