"""drift-check: see whether a host is still what is declared; the environment stays as it is, but for the mark."""

from __future__ import annotations

from tasks.environment import State
from tasks.steps import drift
from tasks.workflows.model import Step, Workflow

DRIFT_CHECK = Workflow(
    "drift-check",
    (Step("look-for-drift", drift.look, timeout_seconds=900),),
    State.CHECKING,
    None,
    None,
    timeout_seconds=3600.0,
    watches=True,
)
