"""Revocations: whoever revokes or terminates a step's task in Celery, as Flower's buttons do, cancels its run."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import task_revoked

from tasks.identity import StepIdentity
from workers import runtime

logger = logging.getLogger(__name__)

WHO = "Celery"


@task_revoked.connect  # type: ignore[untyped-decorator]
def _revoked(request: Any = None, terminated: bool = False, **_: Any) -> None:
    """Called in a worker's main process; Celery drops the rest of the chain, and tells no error callback."""
    identity = StepIdentity.read(request.headers)
    if identity is None:
        return
    base = runtime.base_of_process()
    record = base.store.run(identity.run)
    if (record.epoch, record.delivery, record.index) == (identity.epoch, identity.delivery, identity.index):
        what = "terminated" if terminated else "revoked"
        logger.warning("The task of step %s was %s: its run is cancelled", identity.label, what)
        base.tracker.cancel(record, WHO, f"the task of the step was {what} there")
