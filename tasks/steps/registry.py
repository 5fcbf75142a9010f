"""The one decorator that makes a plain function a Celery task; nothing else in `tasks` knows Celery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from celery import shared_task

from tasks.context import StepContext
from tasks.facts import Facts
from tasks.result import Result

Body = Callable[[Facts, StepContext], Result]


@dataclass(frozen=True)
class StepTask:
    """A step's function, still called as one, and the name that the broker knows it by."""

    name: str
    body: Body

    def __call__(self, facts: Facts, context: StepContext) -> Result:
        """Do the work."""
        return self.body(facts, context)


def step(name: str) -> Callable[[Body], StepTask]:
    """Register the function as a Celery task under `name` (`tool.verb`), which stays when the code moves."""

    def register(body: Body) -> StepTask:
        # typing: the message carries no arguments; facts and context come from the tracker.
        shared_task(name=name, is_step=True, typing=False)(body)
        return StepTask(name, body)

    return register
