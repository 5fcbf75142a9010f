"""A run ended badly: the error callback of every chain, and what a lost run becomes. Both blame the tracked step."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any, cast

from celery import shared_task

from tasks import errors
from tasks import failure as failures
from tasks.adapters.process import Redactor
from tasks.errors import Kind
from tasks.failure import Cause, Failure, FailureContext, RunStatus
from tasks.identity import StepIdentity
from tasks.trace import ChainLink, Trace
from workers import chain, classify, connection, leases, runtime, succession
from workers.records import RunRecord
from workers.runtime import Base
from workers.tracker import Answer, Ended, Execution

logger = logging.getLogger(__name__)

_MOST_TRACES = 100
# How long a failure may wait for a Redis that takes it.
INSIST_SECONDS = 600.0


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
    record = connection.insist(lambda: base.store.run(identity.run), INSIST_SECONDS)
    if not _speaks_of(request, identity, record):
        logger.info("The run is not at %s any more: nothing to record", identity.label)
        return
    raised = getattr(request, "raised", error)
    redact = getattr(request, "redact", None) or Redactor()
    found, links = _told(raised, redact)
    if record.execution is None and found.kind is Kind.WORKER_LOST:
        logger.warning("Step %s had not begun when its process was lost: it stays due", identity.label)
        return
    logger.error("Step %s failed: %s: %s", identity.label, found.kind.value, found.summary)
    end_badly(base, record, found, links)


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


def end_badly(
    base: Base,
    record: RunRecord,
    found: Failure,
    links: tuple[ChainLink, ...],
    *,
    patience_seconds: float | None = None,
    ending: bool = False,
    final: bool = False,
) -> Answer:
    """End the run at its tracked step, or have the step tried again, and keep the trace. The answer of `fail`.

    ending: its tools may still be ending. final: it is not tried again, whatever failed.
    A trace that cannot be kept hides nothing: the context is in the run itself.
    """
    ending = ending or (found.kind is Kind.WORKER_LOST and found.cause is Cause.KILLED and record.execution is not None)
    found = _asked_for(base, record, found)
    context = describe(base, record, found)
    ended = Ended(
        token=record.token,
        execution=record.execution or "",
        status=failures.RULES[found.cause, found.kind].status,
        following=record.next or record.run,
        retry_seconds=None if final else succession.retry_seconds(base, record, found),
        uncertain=record.execution is not None and succession.uncertain(found),
        hold_seconds=base.settings.takeover_seconds if ending else 0.0,
        patience_seconds=patience_seconds,
    )
    answer = _recorded(base, context, ended)
    if answer[0] == "ok":
        keep_trace(base, Trace(context=context, error_chain=links, earlier=record.earlier))
    return answer


def _recorded(base: Base, context: FailureContext, ended: Ended) -> Answer:
    once = connection.nonce()
    return connection.insist(lambda: base.tracker.fail(context, ended, once), INSIST_SECONDS)


def describe(base: Base, record: RunRecord, found: Failure) -> FailureContext:
    """The context of a failure at the run's tracked step."""
    trace_id = str(uuid.uuid4())
    path = base.keys.trace(trace_id)
    return failures.build(record.tracked(), found, at=time.time(), trace_id=trace_id, trace_path=path)


def settle(base: Base, record: RunRecord, found: Failure | None = None) -> Answer:
    """End a run that nobody works on any more: its worker's lease has lapsed, or its message never came.

    Refused as `held SECONDS` until the lost worker's tools must have ended.
    """
    found = found or lost(record)
    return _settle(base, record, found, base.settings.takeover_seconds)


def lost(record: RunRecord) -> Failure:
    """What there is to say of a run that nobody works on any more."""
    if record.status is RunStatus.RUNNING:
        summary = (
            f"worker {record.worker} was not heard of any more while it ran the step: "
            "whether the step was done is not known"
        )
        return Failure(Kind.WORKER_LOST, Cause.WORKER_LOST, "LostRun", summary)
    return Failure(Kind.WORKER_LOST, Cause.LOST_MESSAGE, "LostRun", "no worker has taken the step's message")


def cancelled(base: Base, record: RunRecord, mark: str) -> Answer:
    """End a run that is to be cancelled and that nobody works on: it is due, it waits, or its worker is lost."""
    return _settle(base, record, _cancelled(mark), base.settings.takeover_seconds if record.execution else None)


def end_held(base: Base, execution: Execution) -> None:
    """End a run that this worker held and can give to nobody: it is to be cancelled, or has to ask an operator."""
    record = base.store.run(execution.identity.run)
    if record.execution != execution.name:
        return
    if mark := cast("str | None", base.client.hget(base.keys.cancels(), record.run)):
        _settle(base, record, _cancelled(mark), None)
    elif succession.asks(record):
        summary = f"worker {record.worker} stopped while it ran the step: whether the step was done is not known"
        _settle(base, record, Failure(Kind.WORKER_LOST, Cause.WORKER_LOST, "StoppedWorker", summary), None)


def _asked_for(base: Base, record: RunRecord, found: Failure) -> Failure:
    """A cancellation, if the run is to be cancelled and would be tried again, or lost its process: perhaps for that."""
    if found.kind is not Kind.WORKER_LOST and succession.retry_seconds(base, record, found) is None:
        return found
    mark = base.client.hget(base.keys.cancels(), record.run)
    return _cancelled(cast("str", mark)) if mark else found


def _cancelled(mark: str) -> Failure:
    return Failure(Kind.CANCELLED, Cause.CANCELLED, errors.CancelledError.__name__, leases.words(mark))


def late(base: Base, record: RunRecord) -> Answer:
    """End a run that is due, or waits, past its own deadline."""
    advice = "the whole run may take `timeouts: run` in the fleet file, for which `stepmark resume --fleet` begins anew"
    kind, cause = Kind.TIMEOUT, Cause.TIMED_OUT
    found = Failure(kind, cause, errors.DeadlineError.__name__, "the run's deadline passed", help=advice)
    return _settle(base, record, found, None)


def overdue(base: Base, execution: Execution) -> None:
    """End a run whose step does not heed its deadline: not even its programs' end has ended it."""
    record = base.store.run(execution.identity.run)
    if record.execution != execution.name:
        return  # it was taken over
    summary = "the step did not end at its deadline, not even after its programs were ended"
    found = Failure(Kind.TIMEOUT, Cause.TIMED_OUT, errors.DeadlineError.__name__, summary)
    logger.error("Step %s: %s", execution.identity.label, summary)
    end_badly(base, record, found, links_of(found), ending=True)


def _settle(base: Base, record: RunRecord, found: Failure, patience_seconds: float | None) -> Answer:
    return end_badly(base, record, found, links_of(found), patience_seconds=patience_seconds, final=True)


def links_of(found: Failure) -> tuple[ChainLink, ...]:
    """The error chain of a failure that no exception brought."""
    return (ChainLink(type=found.type, message=found.summary),)


def keep_trace(base: Base, trace: Trace) -> None:
    """Store the trace; failing to do so is only a warning."""
    context: FailureContext = trace.context
    try:
        pipe = base.client.pipeline()
        pipe.set(context.trace_path, trace.model_dump_json(), ex=base.retention_seconds)
        pipe.zadd(base.keys.traces(context.environment), {context.trace_id: time.time()})
        pipe.persist(base.keys.traces(context.environment))  # of an environment that was forgotten, and made anew
        pipe.zremrangebyrank(base.keys.traces(context.environment), 0, -_MOST_TRACES - 1)
        pipe.execute()
    except Exception:
        logger.warning("Trace %s was not kept", context.trace_id, exc_info=True)
