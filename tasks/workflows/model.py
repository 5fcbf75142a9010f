"""What a workflow is: an ordered list of named steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.environment import State
from tasks.errors import Kind
from tasks.steps.registry import StepTask

RUN = "run"
"""Among a fleet file's `timeouts`: the deadline of a whole run. No step is called so."""


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
class Retry:
    """Which failures of a step are tried again, and after how long.

    attempts: in all, the first one counted. The wait doubles from `first_seconds` up to `ceiling_seconds`; a draw takes
    off up to half of it, so that hosts which failed together do not come back together.
    """

    kinds: frozenset[Kind] = frozenset({Kind.NETWORK_CONNECTIVITY, Kind.QUOTA, Kind.STATE_PERSISTENCE})
    attempts: int = 3
    first_seconds: float = 5.0
    ceiling_seconds: float = 60.0

    def wait_seconds(self, kind: Kind, retried: int, draw: float) -> float | None:
        """How long to wait after a failure of this kind when `retried` were waited for before; None: no more.

        draw: at random, from 0 to 1.
        """
        if kind not in self.kinds or retried + 1 >= self.attempts:
            return None
        return min(self.ceiling_seconds, self.first_seconds * 2.0**retried) * (1 - draw / 2)


@dataclass(frozen=True)
class Step:
    """A place in a workflow: its name, which is recorded, shown and typed; and the task that works there.

    teaches: facts that later steps cannot do without; while one is not known the step cannot be left out.
    vital: why it can never be left out, or empty.
    """

    name: str
    task: StepTask
    queue: Queue = Queue.TOOLS
    timeout_seconds: float = 600.0
    unknown: Unknown = Unknown.RERUN
    retry: Retry = Retry()
    teaches: tuple[str, ...] = ()
    vital: str = ""


@dataclass(frozen=True)
class Workflow:
    """Steps in order, and the states that an environment is in while they run and afterwards.

    timeout_seconds: of a whole run, retries and waiting included.
    done, failed: None means back to the state that it came from.
    mends: after its good end the host is what is declared, or is no more. watches: its runs come often, and only the
    last few are kept, apart from the history of what was done.
    """

    name: str
    steps: tuple[Step, ...]
    running: State
    done: State | None
    failed: State | None
    timeout_seconds: float = 4 * 3600.0
    mends: bool = False
    watches: bool = False

    def index(self, name: str) -> int:
        """The place of the step called `name`, from 1.

        Raises:
            KeyError: there is none.
        """
        for index, step in enumerate(self.steps, 1):
            if step.name == name:
                return index
        raise KeyError(name)
