"""What an exception is asked for."""

from __future__ import annotations

import json

import pytest
import redis
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from kombu.exceptions import OperationalError

from tasks.adapters.process import Redactor
from tasks.errors import (
    CancelledError,
    DeadlineError,
    InfrastructureError,
    Kind,
    LeaseLostError,
    NetworkError,
    TemplateError,
    ToolError,
)
from tasks.failure import RULES, Cause, Failure
from tasks.trace import ChainLink
from workers import classify

CASES = [
    (TemplateError("main.tf", "x is undefined"), Kind.TEMPLATE_RENDERING, Cause.RAISED),
    (DeadlineError("too slow"), Kind.TIMEOUT, Cause.TIMED_OUT),
    (SoftTimeLimitExceeded(), Kind.TIMEOUT, Cause.TIMED_OUT),
    (TimeLimitExceeded(3), Kind.TIMEOUT, Cause.TIMED_OUT),
    (WorkerLostError("signal 9"), Kind.WORKER_LOST, Cause.KILLED),
    (SystemExit(1), Kind.WORKER_LOST, Cause.KILLED),
    (MemoryError(), Kind.WORKER_LOST, Cause.KILLED),
    (ToolError("tofu apply: killed", "tofu", -9), Kind.COMMAND_EXECUTION, Cause.KILLED),
    (InfrastructureError("tofu apply: killed", "tofu", -9), Kind.INFRASTRUCTURE_OPERATION, Cause.KILLED),
    (NetworkError("ssh: killed", "ssh", -9), Kind.COMMAND_EXECUTION, Cause.KILLED),
    (CancelledError("by ann", "tofu", -9), Kind.CANCELLED, Cause.CANCELLED),
    (LeaseLostError("gone"), Kind.WORKER_LOST, Cause.WORKER_LOST),
    (redis.exceptions.OutOfMemoryError("OOM command not allowed"), Kind.STATE_PERSISTENCE, Cause.RAISED),
    (redis.ConnectionError("refused"), Kind.STATE_PERSISTENCE, Cause.RAISED),
    (OperationalError("no broker"), Kind.STATE_PERSISTENCE, Cause.RAISED),
    (OSError(28, "No space left on device"), Kind.FILE_SYSTEM, Cause.RAISED),
    (ZeroDivisionError("division by zero"), Kind.INTERNAL, Cause.RAISED),
]


@pytest.mark.parametrize(("error", "kind", "cause"), CASES, ids=lambda value: type(value).__name__)
def test_kind_and_cause(error: BaseException, kind: Kind, cause: Cause) -> None:
    found = classify.failure(error, Redactor())

    assert (found.kind, found.cause, found.type) == (kind, cause, type(error).__name__)
    assert (cause, kind) in RULES
    assert found.summary


def test_what_a_tool_said_is_redacted() -> None:
    redact = Redactor()
    redact.add("hunter2")
    error = ToolError("login as hunter2 failed", "tool --password hunter2", 4, "hunter2 refused")

    assert classify.failure(error, redact) == Failure(
        Kind.COMMAND_EXECUTION,
        Cause.RAISED,
        "ToolError",
        "login as *** failed",
        "tool --password ***",
        4,
        "*** refused",
    )


def test_the_chain_of_errors_begins_with_the_one_raised() -> None:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as beneath:
            raise ToolError("it could not be written") from beneath
    except ToolError as error:
        found = classify.chain(error, Redactor())

    assert found == (
        ChainLink(type="ToolError", message="it could not be written"),
        ChainLink(type="OSError", message="[Errno 28] No space left on device"),
    )


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ToolError("first"), ToolError("second")
    first.__cause__, second.__cause__ = second, first

    assert len(classify.chain(first, Redactor())) == 20


class SpeechlessError(Exception):
    """It cannot even say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "summary"),
    [
        (SpeechlessError(), "SpeechlessError"),
        (ValueError("bad \udc80 name"), "bad ? name"),
        (ValueError("red \x1b[31malarm\x07\nbelow"), "red [31malarm below"),
        (ValueError("x" * 10_000_000), "x" * 499 + "…"),
    ],
    ids=["speechless", "surrogate", "control", "huge"],
)
def test_whatever_an_error_says_it_can_be_told(error: Exception, summary: str) -> None:
    found = classify.failure(error, Redactor())

    assert (found.kind, found.summary) == (Kind.INTERNAL, summary)
    assert json.dumps(found.summary).encode()
