"""A run ended badly: the error callback of every chain, and what a lost run becomes. Both blame the tracked step."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from celery import shared_task

from tasks import failure as failures
from tasks.adapters.process import Redactor
from tasks.errors import Kind
from tasks.failure import Cause, Failure, FailureContext, RunStatus
from tasks.identity import StepIdentity
from tasks.trace import ChainLink, Trace
from workers import chain, classify, runtime
from workers.records import RunRecord
from workers.runtime import Base

logger = logging.getLogger(__name__)

_MOST_TRACES = 100


@shared_task(name=chain.CHAIN_FAILED)
def chain_failed(request: Any, error: BaseException, traceback: Any) -> None:  # noqa: ARG001 - Celery gives three
    """Build the failure's context from the tracked step. Called inline, in the process that saw the failure.

    It may come twice, and it may blame a step that has ended (when the next message could not be published): then
    the message's place is not the tracked one, and there is nothing to do.
    """
    identity = StepIdentity.read(request.headers)
    if identity is None:
        return
    base = runtime.base_of_process()
    record = base.store.run(identity.run)
    if not record.live or not _speaks_of(request, identity, record):
        logger.info("The run is not at %s any more: nothing to record", identity.label)
        return
    raised = getattr(request, "raised", error)
    redact = getattr(request, "redact", None) or Redactor()
    found = classify.failure(raised, redact)
    logger.error("Step %s failed: %s: %s", identity.label, found.kind.value, found.summary)
    end_badly(base, record, found, classify.chain(raised, redact))


def _speaks_of(request: Any, identity: StepIdentity, record: RunRecord) -> bool:
    """Whether the failed message is the one whose step is tracked now: not a duplicate of it, and not one before."""
    if (record.epoch, record.index) != (identity.epoch, identity.index):
        return False
    if execution := getattr(request, "execution", None):
        return bool(execution.name == record.execution)
    return record.execution is None or record.worker == request.hostname


def end_badly(
    base: Base, record: RunRecord, found: Failure, links: tuple[ChainLink, ...], patience: float | None = None
) -> tuple[str, ...]:
    """End the run at its tracked step, and keep the trace. The answer of `fail`.

    A trace that cannot be kept hides nothing: the context is in the run itself.
    """
    trace_id = str(uuid.uuid4())
    context = failures.build(
        record.tracked(), found, at=time.time(), trace_id=trace_id, trace_path=base.keys.trace(trace_id)
    )
    status = failures.RULES[found.cause, found.kind].status
    answer = base.tracker.fail(context, record.token, record.execution or "", status, patience)
    if answer[0] == "ok":
        keep_trace(base, Trace(context=context, error_chain=links))
    return answer


def settle(base: Base, record: RunRecord) -> tuple[str, ...]:
    """End a run that nobody works on any more: its worker's lease has lapsed, or its message never came.

    Refused as `held SECONDS` until the lost worker's tools must have ended.
    """
    if record.status is RunStatus.RUNNING:
        cause, summary = Cause.WORKER_LOST, f"worker {record.worker} was not heard of any more while it ran the step"
    else:
        cause, summary = Cause.LOST_MESSAGE, "no worker has taken the step's message"
    found = Failure(Kind.WORKER_LOST, cause, "LostRun", summary)
    patience = base.settings.takeover_seconds
    return end_badly(base, record, found, (ChainLink(type="LostRun", message=summary),), patience)


def keep_trace(base: Base, trace: Trace) -> None:
    """Store the trace; failing to do so is only a warning."""
    context: FailureContext = trace.context
    try:
        pipe = base.client.pipeline()
        pipe.set(context.trace_path, trace.model_dump_json(), ex=base.retention_seconds)
        pipe.zadd(base.keys.traces(context.environment), {context.trace_id: time.time()})
        pipe.zremrangebyrank(base.keys.traces(context.environment), 0, -_MOST_TRACES - 1)
        pipe.execute()
    except Exception:
        logger.warning("Trace %s was not kept", context.trace_id, exc_info=True)
