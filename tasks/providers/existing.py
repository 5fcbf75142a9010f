"""Hosts that already exist: nothing is made, nothing is ended."""

from __future__ import annotations

from collections.abc import Mapping

from config.fleet import EnvironmentSpec, SecretRef
from tasks.context import StepContext
from tasks.providers.base import Found, Need, Provider


class Existing:
    """Registers a host at the address that the fleet file gives."""

    name = "existing"
    resource = ""
    boot = ""

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        """None: there are no templates."""
        del environment
        return {}

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        """None."""
        del environment
        return {}

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        """It is registered, not provisioned."""
        del environment
        return {Need.PROVISIONING: "the host already exists: use `stepmark register`"}

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        """The host where it was said to be; nobody is asked."""
        del context
        address = str(environment.provider.address)
        return Found(address, address)


PROVIDER: Provider = Existing()
