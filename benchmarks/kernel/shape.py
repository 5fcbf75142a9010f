"""The workload of every measurement: 13 steps in order that do nothing, first nine, then four, as `up` has them."""

from __future__ import annotations

from tasks.workflows import WORKFLOWS

PROVISION, CONFIGURE = WORKFLOWS["provision"], WORKFLOWS["configure"]
STEPS = tuple(step.name for workflow in (PROVISION, CONFIGURE) for step in workflow.steps)
