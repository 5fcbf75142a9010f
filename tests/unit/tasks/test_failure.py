"""The failure context, and the one table of what follows from a cause and a kind."""

from __future__ import annotations

import dataclasses

import pytest

from tasks import failure
from tasks.errors import Kind
from tasks.failure import RULES, Cause, CompletedStep, Failure, RunStatus, TrackedStep

DONE = CompletedStep(step="opentofu-init", index=2, ending="done", seconds=0.2, attempt=1)
TRACKED = TrackedStep(
    environment="web-1",
    workflow="provision",
    run="r1",
    epoch=2,
    step="opentofu-apply",
    index=5,
    total=9,
    attempt=3,
    worker="w@host",
    run_started_at=1_000.0,
    step_started_at=1_010.5,
    completed=(DONE,),
)
RETRYABLE = {
    Kind.NETWORK_CONNECTIVITY,
    Kind.TIMEOUT,
    Kind.FILE_SYSTEM,
    Kind.STATE_PERSISTENCE,
    Kind.QUOTA,
    Kind.CANCELLED,
    Kind.WORKER_LOST,
}


def test_every_kind_has_a_rule_and_every_cause_a_kind() -> None:
    assert {kind for _, kind in RULES} == set(Kind)
    assert {cause for cause, _ in RULES} == set(Cause)


@pytest.mark.parametrize(("cause", "kind"), sorted(RULES))
def test_each_rule_is_usable(cause: Cause, kind: Kind) -> None:
    rule = RULES[cause, kind]

    context = failure.build(TRACKED, Failure(kind, cause, "E", "s"), at=1_020.0, trace_id="t", trace_path="p")

    assert rule.retryable is (kind in RETRYABLE or cause is Cause.KILLED)
    assert rule.status is (RunStatus.CANCELLED if cause is Cause.CANCELLED else RunStatus.FAILED)
    assert (context.retryable, context.cause, context.error_kind) == (rule.retryable, cause, kind)
    assert "`stepmark " in context.hint
    assert "web-1" in context.hint
    assert "{" not in context.hint


@pytest.mark.parametrize(
    ("workflow", "command"),
    [("drift-check", "stepmark drift --env web-1"), ("plan", "stepmark provision --plan --env web-1")],
)
@pytest.mark.parametrize(("cause", "kind"), sorted(RULES))
def test_what_only_looks_is_launched_anew(cause: Cause, kind: Kind, workflow: str, command: str) -> None:
    """It is not the run that could be resumed."""
    tracked = dataclasses.replace(TRACKED, workflow=workflow)

    context = failure.build(tracked, Failure(kind, cause, "E", "s"), at=1_020.0, trace_id="t", trace_path="p")

    assert "resume" not in context.hint
    assert "--fleet" not in context.hint
    assert (command in context.hint) is (kind is not Kind.INTERNAL)


@pytest.mark.parametrize("kind", sorted(Kind))
def test_the_usual_cause_of_a_kind_has_a_rule(kind: Kind) -> None:
    assert (failure.usual_cause(kind), kind) in RULES


def test_the_whole_context() -> None:
    found = Failure(
        Kind.INFRASTRUCTURE_OPERATION, Cause.RAISED, "InfrastructureError", "no\nroom", "tofu apply", 1, "x"
    )

    context = failure.build(TRACKED, found, at=1_020.0, trace_id="t1", trace_path="stepmark:trace:t1")

    assert context.model_dump(mode="json") == {
        "environment": "web-1",
        "workflow": "provision",
        "run_id": "r1",
        "epoch": 2,
        "failed_step": "opentofu-apply",
        "step_index": 5,
        "step_total": 9,
        "error_kind": "infrastructure-operation",
        "error_type": "InfrastructureError",
        "error_summary": "no room",
        "cause": "raised",
        "failed_at": "1970-01-01T00:17:00.000Z",
        "execution_started_at": "1970-01-01T00:16:40.000Z",
        "execution_duration_seconds": 20.0,
        "step_started_at": "1970-01-01T00:16:50.500Z",
        "step_duration_seconds": 9.5,
        "attempt": 3,
        "completed_steps": [DONE.model_dump()],
        "worker": "w@host",
        "command": "tofu apply",
        "exit_status": 1,
        "output_tail": "x",
        "retryable": False,
        "hint": "see `stepmark logs r1 --step opentofu-apply`, mend the cause, then `stepmark resume web-1`",
        "trace_id": "t1",
        "trace_path": "stepmark:trace:t1",
    }


def test_a_summary_is_one_line_of_at_most_500_characters() -> None:
    assert failure.one_line("a\n  b\tc") == "a b c"
    assert len(failure.one_line("x" * 600)) == 500
