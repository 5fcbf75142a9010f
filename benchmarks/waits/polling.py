"""A worker whose waits are short polls that are sent again, for benchmarks/waiting.py: a prototype, and no more.

`celery -A benchmarks.waits.polling`: `wait-ssh-connectivity` tries once; if in vain, it fails, and is tried again
by the tracker's own means: a retry in Redis, the reaper, a new epoch, a message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tasks import errors, workflows
from tasks.adapters import process, ssh, ssh_wait
from tasks.adapters.ssh_outcomes import Outcome
from tasks.workflows.model import Retry
from workers.celery import app

__all__ = ["app"]

PAUSE_SECONDS = 3.0
_STEP = "wait-ssh-connectivity"


def _try_once(target: ssh.Target, session: process.Session, pace: Any = None) -> Mapping[str, int]:
    del pace
    current = ssh_wait.attempt(target, session)
    if current.outcome is not Outcome.OK:
        raise errors.NetworkError(current.outcome.value)
    return {current.outcome.value: 1}


def _again_and_again() -> None:
    register = workflows.WORKFLOWS["register"]
    retry = Retry(attempts=10_000, first_seconds=PAUSE_SECONDS, ceiling_seconds=PAUSE_SECONDS)
    steps = tuple(dataclasses.replace(step, retry=retry) if step.name == _STEP else step for step in register.steps)
    workflows.WORKFLOWS["register"] = dataclasses.replace(register, steps=steps)  # type: ignore[index]  # for others it is


ssh_wait.wait = _try_once
_again_and_again()
