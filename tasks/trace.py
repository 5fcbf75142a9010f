"""Trace: the kept record of a failure, as JSON and as text for people with the same content."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tasks.failure import EarlierAttempt, FailureContext, rfc3339

_WIDTH = 78


class ChainLink(BaseModel):
    """One error of the chain: its class and its words, redacted. The first is the one that was raised."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str


class Trace(BaseModel):
    """A failure's context, the chain of errors behind it, and the attempts of the step that failed before."""

    model_config = ConfigDict(frozen=True)

    context: FailureContext
    error_chain: tuple[ChainLink, ...]
    earlier: tuple[EarlierAttempt, ...] = ()


def render(trace: Trace, sequel: str = "") -> str:
    """The trace as text: banner, fields, error chain, steps done, the failed command's output, end banner.

    sequel: how the run has gone on since, if it has: then nothing is to be done about this failure.
    """
    context = trace.context.model_copy(update={"hint": "nothing: it went on"}) if sequel else trace.context
    place = f"{context.workflow} {context.step_index}/{context.step_total} {context.failed_step}"
    parts = [
        _banner(f"FAILED  {context.environment}  {place}"),
        *([f"WENT ON {sequel}"] if sequel else []),
        *_fields(context),
        "",
        "Error chain",
        *(f"  [level {level}] {link.type}: {link.message}" for level, link in enumerate(trace.error_chain)),
        "",
        "Steps done",
        *(_steps(context) or ["  none"]),
        "",
        "Earlier attempts",
        *(_earlier(trace) or ["  none"]),
        "",
        "Output of the failed command",
        *(f"  {line}" for line in (context.output_tail or "none").splitlines()),
        _banner(f"END OF TRACE {context.trace_id}"),
    ]
    return "\n".join(parts) + "\n"


def _banner(title: str) -> str:
    return f"{'=' * _WIDTH}\n{title}\n{'=' * _WIDTH}"


def _fields(context: FailureContext) -> list[str]:
    shown = context.model_dump(mode="json", exclude={"completed_steps", "output_tail"})
    return [f"{name:<27} {'-' if value is None else value}" for name, value in shown.items()]


def _steps(context: FailureContext) -> list[str]:
    return [
        f"  {done.index}/{context.step_total} {done.step:<28} {done.ending:<12} {done.seconds:.2f} s"
        for done in context.completed_steps
    ]


def _earlier(trace: Trace) -> list[str]:
    return [
        f"  attempt {each.attempt}  {rfc3339(each.at)}  {each.kind.value}: {each.summary}  (trace {each.trace_id})"
        for each in trace.earlier
    ]
