"""What the workers of the chaos driver are started from: `celery -A tests.faults.chaos_worker worker`.

To import it adds a workflow to those of the process: never in one that runs other tests.
"""

from __future__ import annotations

from tasks import workflows
from tests.faults.chaos_workflow import CHAOS
from workers.celery import app

__all__ = ["app"]

workflows.WORKFLOWS[CHAOS.name] = CHAOS  # type: ignore[index]  # for this process
