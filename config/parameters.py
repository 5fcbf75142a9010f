"""Workflow parameters: what the operator may choose about the steps themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Model(BaseModel):
    """A part of the fleet file: frozen, and it refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Docker(Model):
    """install-docker. packages: from the distribution."""

    packages: tuple[str, ...] = ("docker.io",)


class Compose(Model):
    """install-docker-compose.

    method `package`: `package` from the distribution. method `download`: `url` with `{arch}` for the machine's
    architecture as uname says it, put in place as the plugin; `sha256` by architecture, always checked.
    """

    method: Literal["package", "download"] = "package"
    package: str = "docker-compose"
    url: str | None = None
    sha256: dict[str, str] = {}


class SecurityUpdates(Model):
    """configure-security-updates. reboot_time: HH:MM, the host's local time; None: never reboots by itself."""

    packages: tuple[str, ...] = ("unattended-upgrades",)
    reboot_time: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = "02:00"


class Firewall(Model):
    """configure-firewall. allow: ports open beside the SSH port, as `80/tcp` or `53/udp`."""

    allow: tuple[Annotated[str, Field(pattern=r"^\d{1,5}/(tcp|udp)$")], ...] = ()


class CloudInit(Model):
    """What cloud-init does on a new host, beside the login. commands: run once, by a shell, as root.

    template: a Jinja file on the worker that renders to cloud-config of the operator's own, merged into ours. It is
    given name, user, port, labels and groups, each to be written as `{{ name | yaml }}`. A relative path in a fleet
    file is taken from that file's folder.
    """

    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    template: str | None = None

    @field_validator("template")
    @classmethod
    def _from_the_folder(cls, value: str | None, info: ValidationInfo) -> str | None:
        folder = (info.context or {}).get("folder")
        return value if value is None or folder is None or value.startswith("~") else str(Path(folder, value))


class Parameters(Model):
    """All of them. timeouts: seconds, by the name of the step, in place of the workflow's own."""

    docker: Docker = Docker()
    compose: Compose = Compose()
    security_updates: SecurityUpdates = SecurityUpdates()
    firewall: Firewall = Firewall()
    cloud_init: CloudInit = CloudInit()
    timeouts: dict[str, Annotated[float, Field(gt=0)]] = {}
