"""Servers of Hetzner Cloud. Manual: https://docs.hetzner.cloud/reference/cloud."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from config.fleet import EnvironmentSpec, SecretRef
from config.providers.hetzner.model import Hetzner as Declared
from tasks import errors
from tasks.adapters import rest
from tasks.context import StepContext
from tasks.providers.base import Found, Need, Provider


class Hetzner:
    """Asks Hetzner's API. The templates label each server with the environment's name."""

    name = "hetzner"
    resource = "hcloud_server.host"
    boot = ""

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        """All settings but the token, under the same names."""
        return {**environment.provider.model_dump(exclude={"name", "token"}), "ssh_port": environment.ssh.port}

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        """The project's token."""
        return {"token": environment.provider.token}

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        """Nothing: they are whole machines."""
        del environment
        return {}

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        """The server that carries the environment's label.

        Raises:
            AuthenticationError, QuotaError, NetworkError, DeadlineError: as `rest.get`.
            InfrastructureError: the API failed, or several servers carry the label.
        """
        declared: Declared = environment.provider
        token = declared.token.resolve()
        context.session.redact.add(token)
        query = urlencode({"label_selector": f"stepmark=={environment.name}"})
        answer = rest.get(f"{declared.endpoint}/servers?{query}", token)
        servers = answer.get("servers")
        if not isinstance(servers, list) or not all(isinstance(server, dict) and "id" in server for server in servers):
            raise errors.InfrastructureError("Hetzner's API gave no list of servers")
        if len(servers) > 1:
            ids = ", ".join(str(server["id"]) for server in servers)
            raise errors.InfrastructureError(f"{len(servers)} servers are labelled stepmark={environment.name}: {ids}")
        return _found(servers[0]) if servers else None


def _found(server: Mapping[str, object]) -> Found:
    """One of the API's servers; ipv4 may be null.

    {"id": 42, "status": "running", "public_net": {"ipv4": {"ip": "203.0.113.7"}}}
    """
    address: object = server
    for key in ("public_net", "ipv4", "ip"):
        address = address.get(key) if isinstance(address, dict) else None
    known = address if isinstance(address, str) else None
    return Found(known, str(server["id"]), stopped=server.get("status") == "off")


PROVIDER: Provider = Hetzner()
