"""Leaving out: whether the step at which a run failed may be skipped."""

from __future__ import annotations

from tasks.failure import RunStatus
from tasks.workflows.model import Unknown
from workers import succession
from workers.records import RunRecord
from workers.refusals import RefusedError
from workers.runtime import Base

_RESUME = "`stepmark resume {}` runs it again"


def check(base: Base, record: RunRecord, name: str | None) -> None:
    """See that the run's step can be left out. name: what the operator takes it to be; None: whichever it is.

    Raises:
        RefusedError: it cannot; it says why.
    """
    step, environment = succession.step_of(record), record.environment
    if name is not None and name != record.step:
        advice = "only the step at which it failed can be left out"
        raise RefusedError(f"the last run of {environment} is at {record.step}, not at {name}", advice)
    if step is None:
        return  # refused for that when it is resumed, in words of its own
    if step.vital:
        raise RefusedError(f"step {step.name} cannot be left out: {step.vital}", _RESUME.format(environment))
    if step.unknown is not Unknown.RERUN and _uncertain(base, record):
        text = f"step {step.name} cannot be left out: it was cut off, and nobody knows what it has done"
        raise RefusedError(text, _RESUME.format(environment))
    facts = base.store.facts(environment).model_dump()
    if missing := [fact for fact in step.teaches if facts[fact] is None]:
        text = f"step {step.name} cannot be left out: later steps need what it learns ({', '.join(missing)})"
        raise RefusedError(text, _RESUME.format(environment))


def _uncertain(base: Base, record: RunRecord) -> bool:
    """Whether the step was cut off. Of a run that is still lost nobody has said so yet."""
    if record.display is RunStatus.LOST:
        return True
    return bool(base.client.hget(base.keys.run(record.run), f"uncertain:{record.index}"))
