"""send: how the first message of a chain gets into the broker, and the rest of the chain with it."""

from __future__ import annotations

from celery import Celery, Signature, chain

from tasks.identity import StepIdentity
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import Step
from workers.tracker import Place

CHAIN_FAILED = "stepmark.chain_failed"


def send(app: Celery, place: Place) -> None:
    """Send the chain of the steps from `place` on, each with its identity, all with the error callback.

    Raises:
        kombu.exceptions.OperationalError: the broker does not take it; the step stays due.
    """
    workflow = WORKFLOWS[place.workflow]
    links = [
        _link(app, step, _identity(place, step.name, index, len(workflow.steps)))
        for index, step in enumerate(workflow.steps, 1)
        if index >= place.index
    ]
    chain(*links, app=app).apply_async(link_error=app.signature(CHAIN_FAILED), root_id=place.run)


def _identity(place: Place, step: str, index: int, total: int) -> StepIdentity:
    return StepIdentity(
        run=place.run,
        token=place.token,
        epoch=place.epoch,
        environment=place.environment,
        workflow=place.workflow,
        step=step,
        index=index,
        total=total,
        delivery=place.delivery,
    )


def _link(app: Celery, step: Step, identity: StepIdentity) -> Signature:
    return app.signature(step.task.name, immutable=True).set(
        queue=step.queue.value,
        task_id=identity.task_id,
        headers=identity.headers(),
        shadow=identity.label,
        argsrepr=identity.label,
    )
