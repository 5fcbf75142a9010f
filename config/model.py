"""Model: the base of what operators declare."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A part of the fleet file: frozen, and it refuses keys that it does not know."""

    # Inputs are hidden in errors because a secret may have been put in a wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
