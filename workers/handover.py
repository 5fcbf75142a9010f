"""Hand-over: a worker that is told to stop gives its running steps to others, instead of ending them first.

celery worker, TERM       the steps run to their end, or are handed over (`STEPMARK_SHUTDOWN`)
celery worker, TERM again they are handed over: their programs are interrupted, what they saved is kept
"""

from __future__ import annotations

import mmap
from typing import Any

from celery.signals import worker_shutting_down

from config import settings

# Shared with the processes of the pool, which are forked later.
_asked = mmap.mmap(-1, 1)
_told = mmap.mmap(-1, 1)


def asked() -> bool:
    """Whether this worker hands over what runs."""
    return _asked[0] != 0


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _heard(how: str = "", **_: Any) -> None:
    """Called in the main process for each signal to stop."""
    if how == "Warm" and (_told[0] or settings.load().shutdown == "hand-over"):
        _asked[0] = 1
    _told[0] = 1
