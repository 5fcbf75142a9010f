"""What a sandbox host is: its specification, what is said of it, and what a kind of host has to provide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

Say = Callable[[str], None]
"""Takes one line about progress, for people."""


class HostKind(StrEnum):
    """What a host is made of. `light`: namespaces, as root; `rootless`: user namespaces; `full`: a booted container."""

    LIGHT = "light"
    ROOTLESS = "rootless"
    FULL = "full"


class Spec(BaseModel):
    """A host as asked for.

    directory: the sandbox: state, addresses and logs of its hosts. roots: root file systems, cached for all sandboxes.
    address: in 127.0.0.0/8; None: allotted to the name, and kept. user_data: cloud-config text, may hold secrets.
    cloud_init: whether the host has cloud-init; without, what we know of `user_data` is applied directly.
    packages: whether it reaches the machine's package sources. listen: whether anything answers at the address.
    fail_boot: creation fails, as a broken image would make it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
    kind: HostKind
    directory: Path
    roots: Path = Path("~/.cache/stepmark/roots")
    address: str | None = None
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = 2222
    user_data: str = "#cloud-config\n{}\n"
    cloud_init: bool = True
    packages: bool = True
    listen: bool = True
    fail_boot: bool = False


class Instance(BaseModel):
    """What is said of a host. status: `running`, or `stopped` when its processes are gone."""

    model_config = ConfigDict(frozen=True)

    name: str
    image: str
    status: str
    ip_address: str
    ssh_port: int


@dataclass(frozen=True)
class Place:
    """What a backend works with: the specification, address settled; the host's own directory; where to tell progress.

    home: exists, mode 0700, removed by `api` after `destroy`. roots: exists.
    """

    spec: Spec
    address: str
    home: Path
    roots: Path
    say: Say


class Backend(Protocol):
    """A kind of host. All are called under the host's own lock, so never twice at a time for one name."""

    def ensure_root(self, roots: Path, say: Say) -> str:
        """Build what hosts are made from, unless it is cached; returns the image's name.

        Raises:
            SandboxError: it cannot be built; the text says how to get what is missing.
        """
        ...

    def create(self, place: Place) -> None:
        """Make it and boot it, with SSH at `place.address`:`spec.ssh_port`. Repairs what an earlier try left.

        Raises:
            SandboxError: it does not start.
        """
        ...

    def alive(self, place: Place) -> bool:
        """Whether its processes run."""
        ...

    def destroy(self, place: Place) -> None:
        """End its processes and give back all that is outside `home`. No error if it is gone."""
        ...
