"""Hosts that already exist and are only registered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.model import Model
from config.names import Matching

# IPv6 may begin and end with colons.
_Address = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", "an IP address or host name", 253
    ),
]


class Existing(Model):
    """A host that somebody else made: it is registered and configured, never provisioned or destroyed."""

    name: Literal["existing"]
    address: _Address = Field(description="Its IP address or host name.")
