"""The workflow of the benchmark of seeing: steps that do nothing, for as long as an environment's labels say."""

from __future__ import annotations

import time

from tasks.context import StepContext
from tasks.environment import State
from tasks.errors import Kind, ToolError
from tasks.facts import Facts
from tasks.result import Result
from tasks.steps.registry import step
from tasks.workflows.model import Queue, Step, Workflow

_STEPS = 6


class AskedForError(ToolError):
    """The step was to fail."""

    kind = Kind.COMMAND_EXECUTION


def _nothing(facts: Facts, context: StepContext, number: int) -> Result:
    labels = context.environment.labels
    time.sleep(float(labels["seconds"]))
    if labels["fails"] == str(number):
        raise AskedForError("it was to fail", "nothing", 1)
    return Result(facts)


def _step(number: int) -> Step:
    def body(facts: Facts, context: StepContext) -> Result:
        """Do nothing."""
        return _nothing(facts, context, number)

    body.__module__ = __name__
    task = step(f"seeing.nothing_{number}")(body)
    return Step(f"nothing-{number}", task, Queue.WAIT if number % 2 else Queue.TOOLS, 60)


SEEING = Workflow(
    "seeing",
    tuple(_step(number) for number in range(1, _STEPS + 1)),
    State.REGISTERING,
    State.PROVISIONED,
    State.REGISTER_FAILED,
)
