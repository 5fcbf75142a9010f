"""destroy: end the host and forget its files; its record, history and traces stay."""

from __future__ import annotations

from tasks.environment import State
from tasks.steps import tofu
from tasks.workflows.model import Step, Workflow

DESTROY = Workflow(
    "destroy",
    (
        Step(
            "destroy-infrastructure",
            tofu.destroy,
            timeout_seconds=1800,
            vital="its host would run on, and nobody would know of it",
        ),
        Step("cleanup-workspace", tofu.clean_workspace, timeout_seconds=60),
    ),
    State.DESTROYING,
    State.DESTROYED,
    State.DESTROY_FAILED,
    mends=True,
)
