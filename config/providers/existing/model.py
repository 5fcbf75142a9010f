"""Hosts that already exist and are only registered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.parameters import Model


class Existing(Model):
    """A host that somebody else made: it is registered and configured, never provisioned or destroyed."""

    name: Literal["existing"]
    address: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?$", max_length=253)] = Field(
        description="Its IP address or host name."
    )
