"""What an exception is asked for: its kind, its cause and its words. Never the step."""

from __future__ import annotations

from collections.abc import Iterator

import redis
from billiard.exceptions import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded, WorkerLostError
from kombu.exceptions import OperationalError

from config.errors import ConfigError
from tasks.adapters.process import Redactor
from tasks.errors import Kind, StepmarkError, ToolError
from tasks.failure import RULES, Cause, Failure, one_line, usual_cause
from tasks.trace import ChainLink

# The first row that fits; what fits none is a bug of ours.
_FOREIGN: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Kind, Cause], ...] = (
    ((SoftTimeLimitExceeded, TimeLimitExceeded), Kind.TIMEOUT, Cause.TIMED_OUT),
    ((WorkerLostError, Terminated), Kind.WORKER_LOST, Cause.KILLED),
    ((SystemExit, KeyboardInterrupt, MemoryError), Kind.WORKER_LOST, Cause.KILLED),
    ((redis.RedisError, OperationalError), Kind.STATE_PERSISTENCE, Cause.RAISED),
    (ConfigError, Kind.CONFIGURATION, Cause.RAISED),
    (OSError, Kind.FILE_SYSTEM, Cause.RAISED),
)
_MOST_LINKS = 20
# Of an error's words: redacting more takes seconds, and one line is kept.
_MOST_CHARACTERS = 20_000


def failure(error: BaseException, redact: Redactor) -> Failure:
    """The kind, the cause and the words of an error; all text redacted."""
    kind, cause = _kind(error)
    if killed(error):
        cause, kind = Cause.KILLED, kind if (Cause.KILLED, kind) in RULES else Kind.COMMAND_EXECUTION
    tool = error if isinstance(error, ToolError) else None
    return Failure(
        kind=kind,
        cause=cause,
        type=type(error).__name__,
        summary=one_line(redact(_words(error))),
        command=redact(tool.command) or None if tool else None,
        exit_status=tool.exit_status if tool else None,
        output_tail=redact(tool.output_tail) or None if tool else None,
        help=error.help if isinstance(error, (StepmarkError, ConfigError)) else "",
    )


def killed(error: BaseException) -> bool:
    """Whether the error is of a program that a signal ended, which nobody of ours sent."""
    if not isinstance(error, ToolError) or usual_cause(error.kind) is not Cause.RAISED:
        return False
    return error.exit_status is not None and error.exit_status < 0


def chain(error: BaseException, redact: Redactor) -> tuple[ChainLink, ...]:
    """The error and what caused it, the raised one first."""
    return tuple(ChainLink(type=type(link).__name__, message=one_line(redact(_words(link)))) for link in _links(error))


def _words(error: BaseException) -> str:
    """What the error says of itself, as far as it can be kept; its class if it cannot say anything."""
    try:
        text = str(error)[:_MOST_CHARACTERS]
    except Exception:  # noqa: BLE001 - its own words are broken; that it was raised still has to be told
        text = ""
    return text.encode("utf-8", "replace").decode() or type(error).__name__


def _kind(error: BaseException) -> tuple[Kind, Cause]:
    if isinstance(error, StepmarkError):
        return error.kind, usual_cause(error.kind)
    for types, kind, cause in _FOREIGN:
        if isinstance(error, types):
            return kind, cause
    return Kind.INTERNAL, Cause.RAISED


def _links(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(_MOST_LINKS):
        if link is None:
            return
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
