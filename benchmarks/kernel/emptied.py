"""Stepmark's own worker with empty steps: `celery -A benchmarks.kernel.emptied worker`. All the rest is real."""

from __future__ import annotations

import os

from celery import current_task

from benchmarks.kernel import steps
from tasks.context import StepContext
from tasks.facts import Facts
from tasks.result import Result
from workers.celery import app

EVENTS = "BENCHMARK_EVENTS"


def _nothing(facts: Facts, _: StepContext) -> Result:
    steps.work(current_task.request.execution.identity.step)
    return Result(facts)


app.loader.import_default_modules()
for task in app.tasks.values():
    if getattr(task, "is_step", False):
        task.run = _nothing
app.conf.worker_send_task_events = bool(os.environ.get(EVENTS))
