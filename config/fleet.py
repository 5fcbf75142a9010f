"""The fleet file: environments, groups, defaults, schedules; `load(path)` reads one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from config.parameters import Model, Parameters

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]


class SecretRef(Model):
    """Where a secret is: written `env:NAME` or `file:PATH` in the fleet file (and in JSON); resolved on the worker."""

    reference: str


class Ssh(Model):
    """How to log in. `key`: the private key."""

    user: str = "root"
    port: int = 22
    key: SecretRef


class EnvironmentSpec(Model):
    """One environment with the defaults of its groups and of the fleet already merged in."""

    name: Name
    provider: Any  # TODO a model of config.providers.<name>.model; its `name` field says which
    ssh: Ssh
    labels: dict[str, str] = {}
    groups: tuple[str, ...] = ()
    parameters: Parameters = Parameters()
