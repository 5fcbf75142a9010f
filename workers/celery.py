"""The Celery app: `celery -A workers worker` finds it here."""

from __future__ import annotations

import logging
from typing import Any

from billiard import pool
from celery import Celery
from celery.signals import after_setup_logger

from config import celeryconfig, logs, settings
from workers import membership, pulse, reaper, waking


def _configuration() -> dict[str, Any]:
    return celeryconfig.build(settings.load())


app = Celery(
    "stepmark",
    task_cls="workers.steptask:TrackedTask",
    include=[
        *("tasks.workflows", "workers.errback", "workers.revocations"),
        *("workers.firing", "workers.retention", "workers.readiness"),
    ],
)
# A function: the settings are read when the app is first used, not when this module is imported.
app.add_defaults(_configuration)
# In tenths of a second: how long a child of the pool that is told to end waits until its parent has heard the last
# result. A parent that stops listens no more, and results mean nothing here: without this, a warm shutdown takes 30 s.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10
app.steps["consumer"].add(pulse.Pulse)
app.steps["consumer"].add(waking.Waker)
app.steps["worker"].add(membership.Permitted)
app.steps["worker"].add(reaper.Part)
app.steps["consumer"].add(membership.Member)


@after_setup_logger.connect
def _name_places(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.addFilter(logs.PlaceFilter())
        handler.setFormatter(logging.Formatter(logs.FORMAT))
