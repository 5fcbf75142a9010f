"""Containers and virtual machines of LXD."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.model import Model
from config.names import Matching

_Word = Annotated[str, Matching(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a name as LXD takes it", 63)]
_Image = Annotated[str, Matching(r"[A-Za-z0-9][A-Za-z0-9:/._-]*", "an image as LXD names it, as ubuntu:24.04")]


class Lxd(Model):
    """An instance on an LXD server that the worker's `lxc` can reach."""

    name: Literal["lxd"]
    remote: _Word = Field(default="local", description="The LXD server, as `lxc remote list` names it.")
    project: _Word = Field(default="default", description="The LXD project that the instance is in.")
    image: _Image = Field(
        default="ubuntu:24.04", description="An image with cloud-init, with the remote that it comes from."
    )
    type: Literal["container", "virtual-machine"] = Field(default="container", description="What the instance is.")
    profiles: tuple[_Word, ...] = Field(default=("default",), min_length=1, description="LXD profiles, first to last.")
    cpus: int | None = Field(default=None, ge=1, le=512, description="Processors; unset: as the profiles say.")
    memory_mib: int | None = Field(default=None, ge=64, description="Memory in MiB; unset: as the profiles say.")
    disk_gib: int | None = Field(
        default=None, ge=1, description="The root disk in GiB, in `storage_pool`; unset: as the profiles say."
    )
    storage_pool: _Word = Field(default="default", description="Where the root disk is made if `disk_gib` is given.")
