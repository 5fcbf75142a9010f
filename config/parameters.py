"""Workflow parameters: what the operator may choose about the steps themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from config.model import Model
from config.names import Matching

_LONGEST_SECONDS = 7 * 86400
# Neither an option of the package manager nor a second package.
_Package = Annotated[str, Matching(r"[a-z0-9][A-Za-z0-9.+:~=_/-]*", "the name of a package")]
_Port = Annotated[
    str,
    Matching(
        r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])/(tcp|udp)",
        "a port from 1 to 65535 with its protocol, as 80/tcp",
        9,
    ),
]
_Url = Annotated[str, Matching(r"https?://[^\s\x00-\x20\x7f]+", "a URL", 2000)]
_Sha256 = Annotated[str, Matching(r"[0-9a-f]{64}", "a SHA-256 checksum of 64 hexadecimal digits", 64)]
_Architecture = Annotated[str, Matching(r"[a-z0-9_]+", "an architecture as uname says it, as x86_64", 32)]
_Command = Annotated[str, Matching(r"[^\x00]*", "a shell command", 16384)]
_Time = Annotated[str, Matching(r"([01]\d|2[0-3]):[0-5]\d", "a time as 02:00, in quotes", 5)]


class Docker(Model):
    """install-docker."""

    packages: tuple[_Package, ...] = Field(default=("docker.io",), min_length=1, description="From the distribution.")


class Compose(Model):
    """install-docker-compose: from the distribution (`package`), or from elsewhere (`download`)."""

    method: Literal["package", "download"] = Field(default="package", description="Where it comes from.")
    package: _Package = Field(default="docker-compose", description="For `package`: its name in the distribution.")
    url: _Url | None = Field(
        default=None, description="For `download`: the plugin; `{arch}` is the machine's, as uname says it."
    )
    sha256: dict[_Architecture, _Sha256] = Field(
        default={}, description="For `download`: the checksum for each architecture."
    )

    @model_validator(mode="after")
    def _download(self) -> Compose:
        if self.method == "download" and not (self.url and self.sha256):
            raise PydanticCustomError("incomplete", "needs `url` and `sha256` for the method `download`")
        return self


class SecurityUpdates(Model):
    """configure-security-updates."""

    packages: tuple[_Package, ...] = Field(
        default=("unattended-upgrades",), min_length=1, description="What does the updates."
    )
    reboot_time: _Time | None = Field(
        default="02:00", description="When it may reboot, in its local time; null: never."
    )


class Firewall(Model):
    """configure-firewall."""

    allow: tuple[_Port, ...] = Field(default=(), description="Ports open beside the SSH port.")


class CloudInit(Model):
    """What cloud-init does on a new host, beside the login."""

    packages: tuple[_Package, ...] = Field(default=(), description="Installed at the first boot.")
    commands: tuple[_Command, ...] = Field(default=(), description="Run once, each by a shell, as root.")
    template: str | None = Field(
        default=None,
        min_length=1,
        description="A Jinja file on the worker that renders to cloud-config of your own, merged into ours. It is "
        "given name, user, port, labels and groups, each to be written as `{{ name | yaml }}`. A relative path is "
        "taken from the fleet file's folder.",
    )

    @field_validator("template")
    @classmethod
    def _from_the_folder(cls, value: str | None, info: ValidationInfo) -> str | None:
        folder = (info.context or {}).get("folder")
        return value if value is None or folder is None or value.startswith("~") else str(Path(folder, value))


class Parameters(Model):
    """What the steps are to do."""

    docker: Docker = Docker()
    compose: Compose = Compose()
    security_updates: SecurityUpdates = SecurityUpdates()
    firewall: Firewall = Firewall()
    cloud_init: CloudInit = CloudInit()
    timeouts: dict[str, Annotated[float, Field(gt=0, le=_LONGEST_SECONDS)]] = Field(
        default={},
        description="Seconds that a step may take, by its name; `run`: a whole run. In place of the workflow's own.",
    )
