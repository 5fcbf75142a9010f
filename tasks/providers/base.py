"""What a provider is: what differs between the places where hosts come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from config.fleet import EnvironmentSpec, SecretRef
from tasks.context import StepContext


class Need(StrEnum):
    """What a step may need of a host that not every kind of host has."""

    PROVISIONING = "provisioning"
    PACKAGES = "packages"
    SERVICES = "services"
    CONTAINERS = "containers"
    FIREWALL = "firewall"


@dataclass(frozen=True)
class Found:
    """A host that the provider already has for an environment.

    id: what the provider calls it. importable: `id` is what `tofu import` takes; else making the host once more gives
    this very one. stopped: the provider says that it does not run.
    """

    address: str | None
    id: str
    importable: bool = True
    stopped: bool = False


class Provider(Protocol):
    """One provider. Its templates and its settings are in `config/providers/<name>/`.

    resource: the host's address in the templates; a state with that resource in it knows the host.
    boot: of a resource that only starts the host, or empty: it may be replaced without leave, for nothing ends with it.
    """

    name: str
    resource: str
    boot: str

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        """The OpenTofu variables that are no secret; written as JSON tfvars."""
        ...

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        """The OpenTofu variables that are secret; given as TF_VAR_* at the moment of use, never written."""
        ...

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        """What hosts of this environment cannot do, each with the reason in a few words."""
        ...

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        """The host that already exists under this environment's name or label, or None.

        Raises:
            CannotFindError: this provider has no way to look.
        """
        ...
