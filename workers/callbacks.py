"""A run ends badly: what is recorded and kept of it. The tracked step is blamed, whoever found out."""

from __future__ import annotations

import logging
import time
import uuid
from typing import cast

from tasks import errors
from tasks import failure as failures
from tasks.errors import Kind
from tasks.failure import Cause, Failure, FailureContext, RunStatus
from tasks.trace import ChainLink, Trace
from workers import connection, leases, succession
from workers.records import RunRecord
from workers.runtime import Base
from workers.tracker import Answer, Ended, Execution, Slot

logger = logging.getLogger(__name__)

_MOST_TRACES = 100
# How long a failure may wait for a Redis that takes it.
INSIST_SECONDS = 600.0


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
        most=succession.attempts(base, record, found),
        uncertain=record.execution is not None and succession.uncertain(found),
        hold_seconds=base.settings.takeover_seconds if ending else 0.0,
        patience_seconds=patience_seconds,
    )
    answer = _recorded(base, context, ended)
    if answer[0] == "ok":
        keep_trace(base, Trace(context=context, error_chain=links, earlier=record.earlier))
    return answer


def slot(record: RunRecord, answer: Answer) -> Slot | None:
    """The slot in a rollout that is free now, if the answer says so."""
    return Slot(answer[2], record.environment) if len(answer) > 2 and answer[0] == "ok" else None


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


def cancel_held(base: Base, execution: Execution) -> None:
    """End a run that this worker held and can give to nobody, if that is because it is to be cancelled."""
    record = base.store.run(execution.identity.run)
    mark = cast("str | None", base.client.hget(base.keys.cancels(), record.run))
    if mark and record.execution == execution.name:
        _settle(base, record, _cancelled(mark), None)


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


def interrupted(base: Base, execution: Execution) -> None:
    """End a run whose step was interrupted because its worker stops, and of which an operator is to say what it did."""
    record = base.store.run(execution.identity.run)
    if record.execution == execution.name:
        summary = f"worker {record.worker} stopped in the middle of the step: whether it was done is not known"
        found = Failure(Kind.WORKER_LOST, Cause.WORKER_LOST, errors.HandOverError.__name__, summary)
        end_badly(base, record, found, links_of(found), final=True)


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
        kept = base.keys.traces(context.environment)
        oldest = cast("list[str]", base.client.zrange(kept, 0, -_MOST_TRACES))
        pipe = base.client.pipeline()
        pipe.set(context.trace_path, trace.model_dump_json(), ex=base.retention_seconds)
        pipe.zadd(kept, {context.trace_id: time.time()})
        pipe.persist(kept)  # of an environment that was forgotten, and made anew
        for trace_id in oldest:
            pipe.zrem(kept, trace_id)
            pipe.unlink(base.keys.trace(trace_id))
        pipe.execute()
    except Exception:
        logger.warning("Trace %s was not kept", context.trace_id, exc_info=True)
