"""What concerns all runs: that they are paused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Pause(BaseModel):
    """Who paused all, why (may be empty), and when, in Unix seconds by Redis."""

    model_config = ConfigDict(frozen=True)

    by: str
    reason: str
    at: float
