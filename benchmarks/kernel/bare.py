"""A bare chain in Celery, as people write it: `celery -A benchmarks.kernel.bare worker`.

Celery's defaults, results kept in Redis; BENCHMARK_BARE=ignored: results are ignored; BENCHMARK_BARE=ours: the settings
of Stepmark, without Stepmark. The last step of the first chain sends the second one, as `up` does.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery, chain

from benchmarks.kernel import shape, steps
from config import celeryconfig, settings
from tasks.workflows import WORKFLOWS

KIND = "BENCHMARK_BARE"
logger = logging.getLogger(__name__)


def configuration() -> dict[str, Any]:
    """Celery's settings, by KIND."""
    chosen = settings.load()
    kind = os.environ.get(KIND, "results")
    if kind == "ours":
        return {**celeryconfig.build(chosen), "worker_send_task_events": False}
    url = chosen.redis_url.get_secret_value()
    return {"broker_url": url, "result_backend": url, "task_ignore_result": kind == "ignored"}


app = Celery("bare")
app.add_defaults(configuration)


@app.task(name="bare.step")
def step(environment: str, name: str) -> None:
    """Do nothing; after the last step of the first chain, send the second one."""
    steps.work(name)
    if name == shape.PROVISION.steps[-1].name:
        send(environment, shape.CONFIGURE.name)


@app.task(name="bare.failed")
def failed(request: Any, error: BaseException, traceback: Any) -> None:  # noqa: ARG001 - Celery gives three
    """The error callback."""
    logger.error("%s failed", request.args, exc_info=error)


def send(environment: str, workflow: str) -> None:
    """Send a chain of the workflow's steps."""
    links = [step.si(environment, each.name) for each in WORKFLOWS[workflow].steps]
    chain(*links).apply_async(link_error=failed.s())
