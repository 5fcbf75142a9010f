"""What a workflow is: an ordered list of named steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.environment import State
from tasks.steps.registry import StepTask


class Queue(StrEnum):
    """Where a step's messages wait: `wait` for steps that mostly wait, `tools` for those that run heavy programs."""

    WAIT = "wait"
    TOOLS = "tools"


class Unknown(StrEnum):
    """What it means that nobody knows whether the step was done.

    rerun: it may simply run again. verify: it looks first, then runs again. ask: the operator decides.
    """

    RERUN = "rerun"
    VERIFY = "verify"
    ASK = "ask"


@dataclass(frozen=True)
class Step:
    """A place in a workflow: its name, which is recorded, shown and typed; and the task that works there."""

    name: str
    task: StepTask
    queue: Queue = Queue.TOOLS
    timeout_seconds: float = 600.0
    unknown: Unknown = Unknown.RERUN


@dataclass(frozen=True)
class Workflow:
    """Steps in order, and the states that an environment is in while they run and afterwards.

    done, failed: None means back to the state that it came from.
    """

    name: str
    steps: tuple[Step, ...]
    running: State
    done: State | None
    failed: State | None

    def index(self, name: str) -> int:
        """The place of the step called `name`, from 1.

        Raises:
            KeyError: there is none.
        """
        for index, step in enumerate(self.steps, 1):
            if step.name == name:
                return index
        raise KeyError(name)
