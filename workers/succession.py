"""Succession: how a live run goes on when its step does not end: tried again, taken over, handed over, sent again."""

from __future__ import annotations

import logging
import random

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tasks.errors import Kind
from tasks.failure import Cause, Failure, FailureContext
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import Step, Unknown
from workers import chain
from workers.records import RunRecord
from workers.runtime import Base
from workers.tracker import Answer, Execution, Place, Why

logger = logging.getLogger(__name__)

# A message that is lost so often is not lost by chance.
_MOST_SENDS = 20

OTHER_STEPS = "launch it anew: this version's workflow has other steps than when the run began"


def step_of(record: RunRecord) -> Step | None:
    """The run's tracked step as this version knows it; None: this version has other steps in the run's workflow."""
    workflow = WORKFLOWS.get(record.workflow)
    if workflow is None or tuple(step.name for step in workflow.steps) != record.names:
        return None
    return workflow.steps[(record.index or 1) - 1]


def retry_seconds(base: Base, record: RunRecord, found: Failure) -> float | None:
    """After how long the failed step is tried again by itself; None: it is not."""
    step = step_of(record)
    if step is None or record.execution is None:
        return None
    if step.unknown is Unknown.ASK and uncertain(found):
        return None
    if found.kind is not Kind.WORKER_LOST:
        return step.retry.wait_seconds(found.kind, record.retried, random.random())  # noqa: S311 - no secret
    if step.unknown is Unknown.ASK or record.taken >= base.settings.takeovers:
        return None
    return 0.0


def attempts(base: Base, record: RunRecord, found: Failure) -> int:
    """How often at most the failed step is tried, after failures of that kind."""
    if found.kind is Kind.WORKER_LOST:
        return base.settings.takeovers + 1
    step = step_of(record)
    return step.retry.attempts if step else 1


def uncertain(found: Failure) -> bool:
    """Whether nobody knows what the step has done: it was cut off, or what it had done could not be recorded."""
    return found.cause not in (Cause.RAISED, Cause.LOST_MESSAGE) or found.kind is Kind.STATE_PERSISTENCE


def go_on(base: Base, app: Celery, record: RunRecord, why: Why, lost: FailureContext | None = None) -> Answer:
    """Have a live run go on at its tracked step under a new epoch, and send its messages. The answer of `again`.

    lost: what is said of the execution that it goes on after.
    """
    patience = base.settings.takeover_seconds if why is Why.TAKEN_OVER else None
    limit = _MOST_SENDS if why is Why.SENT_AGAIN else base.settings.takeovers
    answer = base.tracker.again(record, why, patience_seconds=patience, limit=limit, lost=lost)
    if answer[0] != "ok":
        return answer
    _, epoch, delivery = answer
    logger.info("Run %s goes on at %s in epoch %s: %s", record.run, record.step, epoch, why.value)
    place = Place(
        run=record.run,
        token=record.token,
        epoch=int(epoch),
        delivery=int(delivery),
        environment=record.environment,
        workflow=record.workflow,
        index=record.index or 1,
    )
    chain.send(app, place)
    return answer


def hand_over(base: Base, app: Celery, execution: Execution) -> Answer:
    """Give a run whose step was interrupted here to another worker: `ok`, `stale`, or `ask` if an operator decides.

    What cannot be given, because Redis does not answer, is found by its lease: `later`.
    """
    try:
        return _hand_over(base, app, execution)
    except (redis.RedisError, OperationalError) as error:
        logger.warning("Run %s could not be handed over: %s", execution.identity.run, error)
        return ("later",)


def _hand_over(base: Base, app: Celery, execution: Execution) -> Answer:
    record = base.store.run(execution.identity.run)
    step = step_of(record)
    if record.execution == execution.name and step and step.unknown is Unknown.ASK:
        return ("ask",)
    if record.execution == execution.name:
        return go_on(base, app, record, Why.HANDED_OVER)
    return ("stale",)
