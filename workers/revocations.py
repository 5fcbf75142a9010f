"""Revocations: whoever revokes or terminates a step's task in Celery, as Flower's buttons do, cancels its run.

Celery ends a running task by killing the pool's process, and in a pool of threads not at all. A step is interrupted
instead, as by `stepmark cancel`: its tool saves what it has done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from celery.signals import task_revoked
from celery.worker import state as worker_state
from celery.worker.control import Panel, control_command

from tasks.identity import StepIdentity
from workers import runtime

logger = logging.getLogger(__name__)

WHO = "Celery"
_IDS = {"variadic": "task_id", "signature": "[id1 [id2 [... [idN]]]]"}
_revoke = Panel.data["revoke"]


@task_revoked.connect  # type: ignore[untyped-decorator]
def _revoked(request: Any = None, terminated: bool = False, **_: Any) -> None:
    """Called in a worker's main process; Celery drops the rest of the chain, and tells no error callback."""
    identity = StepIdentity.read(request.headers)
    if identity is not None:
        _cancel(identity, "terminated" if terminated else "revoked")


@control_command(name="revoke", **_IDS)  # type: ignore[untyped-decorator]
def revoke(state: Any, task_id: str | Iterable[str], terminate: bool = False, signal: Any = None, **_: Any) -> Any:
    """Revoke tasks by their ids."""
    ids = {task_id} if isinstance(task_id, str) else set(task_id or ())
    ours = _steps(ids) if terminate else {}
    for identity in ours.values():
        _cancel(identity, "terminated")
    if ours.keys() == ids:
        return _revoke(state, list(ids))
    return _revoke(state, list(ids - ours.keys()), terminate=terminate, signal=signal)


@control_command(
    name="terminate", args=[("signal", str)], variadic="task_id", signature="<signal> [id1 [id2 [... [idN]]]]"
)  # type: ignore[untyped-decorator]
def terminate(state: Any, signal: Any, task_id: str | Iterable[str], **_: Any) -> Any:
    """Terminate tasks by their ids."""
    return revoke(state, task_id, terminate=True, signal=signal)


def _steps(ids: Iterable[str]) -> dict[str, StepIdentity]:
    """Those of the tasks that this worker has and that are steps of ours."""
    found = {task_id: worker_state.requests.get(task_id) for task_id in ids}
    read = {task_id: StepIdentity.read(request.request_dict) for task_id, request in found.items() if request}
    return {task_id: identity for task_id, identity in read.items() if identity}


def _cancel(identity: StepIdentity, what: str) -> None:
    base = runtime.base_of_process()
    record = base.store.run(identity.run)
    if (record.epoch, record.delivery, record.index) == (identity.epoch, identity.delivery, identity.index):
        logger.warning("The task of step %s was %s: its run is cancelled", identity.label, what)
        base.tracker.cancel(record, WHO, f"the task of the step was {what} there")
