"""FailureContext: who failed, where, why and what to do next; built from the tracked step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.errors import Kind

SUMMARY_LIMIT = 500


class Cause(StrEnum):
    """How the step came to its end."""

    RAISED = "raised"
    TIMED_OUT = "timed-out"
    WORKER_LOST = "worker-lost"
    KILLED = "killed"
    CANCELLED = "cancelled"
    LOST_MESSAGE = "lost-message"


class RunStatus(StrEnum):
    """Where a run is. `waiting`: to try a step again. `lost` is never stored: running, and its lease has lapsed."""

    PENDING = "pending"
    QUEUED = "queued"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True)
class Rule:
    """What follows from a cause and a kind. hint: may name {environment}, {run} and {step}."""

    retryable: bool
    status: RunStatus
    hint: str


_RESUME = "`stepmark resume {environment}`"
_RESUMED = re.compile(r"stepmark resume \{environment\}( --fleet FILE)?")
# These leave the environment as it was: they are not resumed, but launched anew.
_ANEW: Mapping[str, str] = {"plan": "provision --plan --env", "drift-check": "drift --env"}
_KINDS: Mapping[Kind, tuple[bool, str]] = {
    Kind.TEMPLATE_RENDERING: (False, f"mend the template or its values, then {_RESUME}"),
    Kind.INFRASTRUCTURE_OPERATION: (
        False,
        f"see `stepmark logs {{run}} --step {{step}}`, mend the cause, then {_RESUME}",
    ),
    Kind.NETWORK_CONNECTIVITY: (True, f"check that the host is up and its port is open, then {_RESUME}"),
    Kind.AUTHENTICATION: (False, f"put the right key or credential in place, then {_RESUME}"),
    Kind.COMMAND_EXECUTION: (False, f"see `stepmark logs {{run}} --step {{step}}`, mend the cause, then {_RESUME}"),
    Kind.TIMEOUT: (
        True,
        f"see `stepmark logs {{run}} --step {{step}}`, mend what it waited for, then {_RESUME}; "
        "if it only needs longer, raise `timeouts: {step}` in the fleet file, then "
        "`stepmark resume {environment} --fleet FILE`",
    ),
    Kind.FILE_SYSTEM: (True, f"free space or mend permissions on the worker, then {_RESUME}"),
    Kind.CONFIGURATION: (False, f"mend the fleet file or the worker's settings, then {_RESUME}"),
    Kind.STATE_PERSISTENCE: (True, f"check Redis with `stepmark doctor`, then {_RESUME}"),
    Kind.QUOTA: (True, f"free or raise the provider's limit, then {_RESUME}"),
    Kind.CANCELLED: (True, f"{_RESUME} goes on from this step, `stepmark destroy {{environment}}` ends it"),
    Kind.WORKER_LOST: (True, f"see that the worker has memory and runs (`stepmark doctor`), then {_RESUME}"),
    Kind.INTERNAL: (False, "this is a bug of ours: report `stepmark trace {environment} --json`"),
}
_CAUSES_OF: Mapping[Kind, tuple[Cause, ...]] = {
    Kind.TIMEOUT: (Cause.TIMED_OUT,),
    Kind.CANCELLED: (Cause.CANCELLED,),
    Kind.WORKER_LOST: (Cause.WORKER_LOST, Cause.KILLED, Cause.LOST_MESSAGE),
}


# A program may be killed from outside, most often because memory ran out: it failed by no fault of its own.
_OF_PROGRAMS = (Kind.INFRASTRUCTURE_OPERATION, Kind.COMMAND_EXECUTION)


def _rules() -> dict[tuple[Cause, Kind], Rule]:
    def status(cause: Cause) -> RunStatus:
        return RunStatus.CANCELLED if cause is Cause.CANCELLED else RunStatus.FAILED

    usual = {
        (cause, kind): Rule(_KINDS[kind][0], status(cause), _KINDS[kind][1])
        for kind, cause in product(Kind, Cause)
        if cause in _CAUSES_OF.get(kind, (Cause.RAISED,))
    }
    killed = Rule(True, RunStatus.FAILED, _KINDS[Kind.WORKER_LOST][1])
    return usual | {(Cause.KILLED, kind): killed for kind in _OF_PROGRAMS}


RULES: Mapping[tuple[Cause, Kind], Rule] = _rules()


class CompletedStep(BaseModel):
    """A step that ended before. seconds: how long it ran."""

    model_config = ConfigDict(frozen=True)

    step: str
    index: int
    ending: str
    seconds: float
    attempt: int
    note: str = ""


class EarlierAttempt(BaseModel):
    """An attempt of a step that failed, and after which the run went on. at: Unix seconds. attempt: 0: not started."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    at: float
    kind: Kind
    summary: str
    trace_id: str


class FailureContext(BaseModel):
    """One shape for every failure of every workflow. Times are RFC 3339 in UTC; what was not known is None."""

    model_config = ConfigDict(frozen=True)

    environment: str
    workflow: str
    run_id: str
    epoch: int
    failed_step: str
    step_index: int
    step_total: int
    error_kind: Kind
    error_type: str
    error_summary: str
    cause: Cause
    failed_at: str
    execution_started_at: str | None
    execution_duration_seconds: float | None
    step_started_at: str | None
    step_duration_seconds: float | None
    attempt: int
    completed_steps: tuple[CompletedStep, ...]
    worker: str | None
    command: str | None
    exit_status: int | None
    output_tail: str | None
    retryable: bool
    hint: str
    trace_id: str
    trace_path: str


@dataclass(frozen=True)
class TrackedStep:
    """The running step as the tracker recorded it; the only source of a context's place. Times are Unix seconds."""

    environment: str
    workflow: str
    run: str
    epoch: int
    step: str
    index: int
    total: int
    attempt: int
    worker: str | None
    run_started_at: float | None
    step_started_at: float | None
    completed: tuple[CompletedStep, ...]


@dataclass(frozen=True)
class Failure:
    """What the exception is asked for: its kind and words, never its place. All text is redacted."""

    kind: Kind
    cause: Cause
    type: str
    summary: str
    command: str | None = None
    exit_status: int | None = None
    output_tail: str | None = None
    help: str = ""


def one_line(text: str) -> str:
    """The text on one line of at most 500 characters, without control characters."""
    line = "".join(filter(str.isprintable, " ".join(text.split())))
    return line if len(line) <= SUMMARY_LIMIT else line[: SUMMARY_LIMIT - 1] + "…"


def rfc3339(at: float | None) -> str | None:
    """Unix seconds as `2026-01-02T03:04:05.678Z`."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def build(tracked: TrackedStep, failure: Failure, *, at: float, trace_id: str, trace_path: str) -> FailureContext:
    """The context of a failure at the tracked step, at Unix time `at`."""
    return FailureContext(
        environment=tracked.environment,
        workflow=tracked.workflow,
        run_id=tracked.run,
        epoch=tracked.epoch,
        failed_step=tracked.step,
        step_index=tracked.index,
        step_total=tracked.total,
        failed_at=rfc3339(at) or "",
        execution_started_at=rfc3339(tracked.run_started_at),
        execution_duration_seconds=_since(tracked.run_started_at, at),
        step_started_at=rfc3339(tracked.step_started_at),
        step_duration_seconds=_since(tracked.step_started_at, at),
        attempt=tracked.attempt,
        completed_steps=tracked.completed,
        worker=tracked.worker,
        trace_id=trace_id,
        trace_path=trace_path,
        **_what(tracked, failure),
    )


def _what(tracked: TrackedStep, failure: Failure) -> dict[str, Any]:
    """What the exception and the table say: all that is not the place."""
    rule = RULES[failure.cause, failure.kind]
    hint = advice(rule, tracked, tracked.environment)
    return {
        "error_kind": failure.kind,
        "error_type": failure.type,
        "error_summary": one_line(failure.summary),
        "cause": failure.cause,
        "command": failure.command,
        "exit_status": failure.exit_status,
        "output_tail": failure.output_tail,
        "retryable": rule.retryable,
        "hint": f"{failure.help}; {hint}" if failure.help else hint,
    }


def advice(rule: Rule, tracked: TrackedStep, environment: str) -> str:
    """The rule's hint, with the place and the name of its environment."""
    anew = _ANEW.get(tracked.workflow)
    hint = _RESUMED.sub(f"stepmark {anew} {{environment}}", rule.hint) if anew else rule.hint
    return hint.format(environment=environment, run=tracked.run, step=tracked.step)


def _since(start: float | None, at: float) -> float | None:
    return None if start is None else round(max(0.0, at - start), 3)


def usual_cause(kind: Kind) -> Cause:
    """The cause of an error of this kind that was raised in the step."""
    return _CAUSES_OF.get(kind, (Cause.RAISED,))[0]
