"""The error callback of every chain: what failed is told from the tracked step, never from the exception."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app, shared_task

from tasks.adapters.process import Redactor
from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus
from tasks.identity import StepIdentity
from tasks.trace import ChainLink
from workers import callbacks, chain, classify, connection, rollouts, runtime
from workers.records import RunRecord

logger = logging.getLogger(__name__)


@shared_task(name=chain.CHAIN_FAILED)
def chain_failed(request: Any, error: BaseException, traceback: Any) -> None:  # noqa: ARG001 - Celery gives three
    """Build the failure's context from the tracked step. Called inline, in the process that saw the failure.

    It may come twice, and it may blame a step that has ended (when what follows it could not be sent): then
    the message's place is not the tracked one, and there is nothing to do.
    """
    identity = StepIdentity.read(request.headers)
    if identity is None:
        return
    base = runtime.base_of_process()
    record = connection.insist(lambda: base.store.run(identity.run), callbacks.INSIST_SECONDS)
    if not _speaks_of(request, identity, record):
        logger.info("The run is not at %s any more: nothing to record", identity.label)
        return
    raised = getattr(request, "raised", error)
    redact = getattr(request, "redact", None) or Redactor()
    found, links = _told(raised, redact)
    logger.error("Step %s failed: %s: %s", identity.label, found.kind.value, found.summary)
    if record.execution is None and found.kind is Kind.WORKER_LOST:
        logger.warning("Step %s had not begun when its process was lost: it stays due", identity.label)
        return
    answer = callbacks.end_badly(base, record, found, links)
    if slot := callbacks.slot(record, answer):
        rollouts.free(base, current_app, slot)


def _told(raised: BaseException, redact: Redactor) -> tuple[Failure, tuple[ChainLink, ...]]:
    """What the error says; if even that cannot be had, its class."""
    try:
        return classify.failure(raised, redact), classify.chain(raised, redact)
    except Exception:
        logger.exception("A failure could not be described")
        return Failure(Kind.INTERNAL, Cause.RAISED, type(raised).__name__, "it could not be described"), ()


def _speaks_of(request: Any, identity: StepIdentity, record: RunRecord) -> bool:
    """Whether the failed message is the one whose step is tracked now: not a duplicate of it, and not one before."""
    if record.status not in (RunStatus.QUEUED, RunStatus.RUNNING):
        return False
    if (record.epoch, record.index) != (identity.epoch, identity.index):
        return False
    if execution := getattr(request, "execution", None):
        return bool(execution.name == record.execution)
    return record.execution is None or record.worker == request.hostname
