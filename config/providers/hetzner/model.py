"""Servers of Hetzner Cloud."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.model import Model
from config.names import Matching
from config.secrets import SecretRef

_Word = Annotated[str, Matching(r"[a-z0-9][a-z0-9._-]*", "a name as Hetzner gives it", 63)]
_Url = Annotated[str, Matching(r"https?://[A-Za-z0-9.:_/-]+[A-Za-z0-9]", "a URL without a slash at its end")]


class Hetzner(Model):
    """A server in a Hetzner Cloud project. It costs money from the moment it exists."""

    name: Literal["hetzner"]
    token: SecretRef = Field(description="An API token of the project, with leave to read and write.")
    server_type: _Word = Field(default="cx23", description="Processors, memory and disk, as Hetzner names them.")
    image: _Word = Field(default="debian-12", description="An image with cloud-init.")
    location: _Word = Field(default="nbg1", description="Where the server stands.")
    backups: bool = Field(default=False, description="Whether Hetzner keeps backups of it.")
    delete_protection: bool = Field(
        default=False, description="Whether Hetzner refuses to delete it until this is turned off."
    )
    firewall_ids: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="Hetzner firewalls that apply to it."
    )
    endpoint: _Url = Field(default="https://api.hetzner.cloud/v1", description="Where the API is.")
