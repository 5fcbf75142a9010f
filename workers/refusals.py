"""Why an operator's request is refused, and what to do instead."""

from __future__ import annotations

from tasks.errors import StepmarkError


class RefusedError(StepmarkError):
    """The state of an environment or of a run does not allow it; nothing was changed. Arguments: why; what to do."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return self.problem


def other_schema(what: str, schema: str) -> RefusedError:
    """The refusal of what another version of Stepmark keeps: `environment NAME`, `run ID`."""
    advice = "use the version of stepmark that wrote it, or a later one"
    return RefusedError(f"{what} is kept in schema {schema}, which is not ours", advice)


class BusyError(RefusedError):
    """Another run holds the environment. Arguments: as RefusedError, then the environment and that run's id."""

    def __init__(self, problem: str, advice: str, environment: str, run: str) -> None:
        StepmarkError.__init__(self, problem, advice, environment, run)
        self.problem = problem
        self.advice = advice
        self.environment = environment
        self.run = run


class HeldError(RefusedError):
    """The tools of the last run may still be ending. Arguments: as RefusedError, then for how many seconds."""

    def __init__(self, problem: str, advice: str, seconds: float) -> None:
        StepmarkError.__init__(self, problem, advice, seconds)
        self.problem = problem
        self.advice = advice
        self.seconds = seconds


class SlotError(RefusedError):
    """The rollout does not start the environment now. Arguments: as RefusedError; `problem` is the script's word."""


class ConflictError(RefusedError):
    """Somebody else changed it since it was read."""


class LackingError(RefusedError):
    """Workers lack what the steps need. Arguments: as RefusedError, then each thing: worker, what, name, text."""

    def __init__(self, problem: str, advice: str, lacks: tuple[dict[str, str], ...]) -> None:
        StepmarkError.__init__(self, problem, advice, lacks)
        self.problem = problem
        self.advice = advice
        self.lacks = lacks


class NotFoundError(StepmarkError):
    """There is no such environment, run or trace. Arguments: what was looked for, what to do."""

    def __init__(self, what: str, advice: str = "`stepmark status` lists what there is") -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"there is no {self.what}"


def kind(error: StepmarkError) -> str:
    """A refusal in one word, for programs."""
    words = ((BusyError, "busy"), (LackingError, "lacking"), (ConflictError, "conflict"), (RefusedError, "refused"))
    found = next((word for shape, word in words if isinstance(error, shape)), None)
    return found or ("not-found" if isinstance(error, NotFoundError) else error.kind.value)


def advice(error: StepmarkError) -> str:
    """What to do about it."""
    return error.advice if isinstance(error, RefusedError | NotFoundError) else error.help
