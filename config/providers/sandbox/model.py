"""Real hosts on the worker's own machine: to try things out, and for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.model import Model


class Sandbox(Model):
    """A host made of namespaces (light, rootless) or a container that boots (full), at an address of the loopback."""

    name: Literal["sandbox"]
    host: Literal["auto", "light", "rootless", "full"] = Field(
        default="auto",
        description="light: needs root, lacks services; rootless: lacks packages and services too; full: needs root "
        "and docker, lacks nothing; auto: light where it is possible, else rootless.",
    )
    directory: Path | None = Field(
        default=None, description="Where hosts are kept on the worker's machine; unset: in the worker's data directory."
    )
    ssh_port: int = Field(default=2222, ge=1, le=65535, description="The port that it answers SSH on; not `ssh.port`.")
    cloud_init: bool = Field(
        default=True,
        description="Whether a light host has cloud-init; without, only the basics of its user data are done.",
    )
    packages: bool = Field(default=True, description="Whether a light host reaches the machine's package sources.")
    listen: bool = Field(default=True, description="Whether anything answers SSH; a fault to try things out with.")
    fail_boot: bool = Field(default=False, description="Whether its creation fails; a fault to try things out with.")
