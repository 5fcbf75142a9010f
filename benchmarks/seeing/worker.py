"""What the workers of the benchmark are started from: `celery -A benchmarks.seeing.worker worker`.

They are workers as any, which also write down when they had something to say: before the script that records it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.seeing.workflow import SEEING
from tasks import workflows
from workers.celery import app
from workers.tracker import Tracker

__all__ = ["app"]

workflows.WORKFLOWS[SEEING.name] = SEEING  # type: ignore[index]  # for this process


def _noted(word: str, place: Callable[[Any], tuple[str, int]], record: Callable[..., Any]) -> Callable[..., Any]:
    def call(tracker: Tracker, what: Any, *more: Any) -> Any:
        line = " ".join(map(str, (word, *place(what), f"{time.time():.6f}"))) + "\n"
        log = os.open(os.environ["SEEING_LOG"], os.O_WRONLY | os.O_APPEND)
        os.write(log, line.encode())
        os.close(log)
        return record(tracker, what, *more)

    return call


Tracker.start = _noted("started", lambda message: (message.environment, message.index), Tracker.start)  # type: ignore[method-assign]
Tracker.end = _noted("done", lambda run: (run.identity.environment, run.identity.index), Tracker.end)  # type: ignore[method-assign]
Tracker.fail = _noted("failed", lambda context: (context.environment, context.step_index), Tracker.fail)  # type: ignore[method-assign]
