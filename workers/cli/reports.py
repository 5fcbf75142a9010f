"""What is said of an error, and with which status the program ends: the one place that maps exceptions to both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import redis
import typer
from pydantic import ValidationError

from config.errors import ConfigError, FleetFileError
from tasks.errors import Kind, StepmarkError
from workers import refusals
from workers.refusals import LackingError, NotFoundError, RefusedError

# Typer's error for a command line that cannot be read; it exports only this subclass of it.
_COMMAND_LINE: Any = typer.BadParameter.__mro__[2]
# The broker's error, by name: who raises it has imported it, and a command that only looks must not.
_NO_BROKER = ("kombu.exceptions", "OperationalError")
_NO_REDIS = "set STEPMARK_REDIS_URL to a Redis that runs; `stepmark doctor` looks at it"


class Exit(IntEnum):
    """The program's exit statuses; `docs/reference/cli.md` explains them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NO_REDIS = 4
    PARTLY = 5
    DRIFTED = 6
    INTERRUPTED = 130


@dataclass(frozen=True)
class Report:
    """An error as operators are told of it. kind: a word for programs. problems: each thing wrong in a file."""

    status: Exit
    kind: str
    message: str
    help: str = ""
    problems: tuple[dict[str, Any], ...] = ()

    def shape(self) -> dict[str, Any]:
        """The error as JSON, the value of `error`."""
        return {"kind": self.kind, "message": self.message, "help": self.help, "problems": list(self.problems)}


def report(error: BaseException) -> Report | None:
    """What to say of an operator's mistake or of what could not be reached. None: it is a bug of ours."""
    if isinstance(error, RefusedError):
        problems = error.lacks if isinstance(error, LackingError) else ()
        return Report(Exit.REFUSED, refusals.kind(error), str(error), error.advice, problems)
    if isinstance(error, NotFoundError):
        return Report(Exit.USAGE, "not-found", str(error), error.advice)
    if isinstance(error, StepmarkError):
        status = Exit.USAGE if error.kind is Kind.CONFIGURATION else Exit.FAILED
        return Report(status, error.kind.value, str(error), error.help)
    if isinstance(error, ConfigError):
        return _declaration(error)
    return _foreign(error)


def _foreign(error: BaseException) -> Report | None:
    if isinstance(error, redis.ConnectionError | redis.TimeoutError) or _of_broker(error):
        return Report(Exit.NO_REDIS, "redis", f"Redis does not answer: {error}", _NO_REDIS)
    if isinstance(error, redis.RedisError):
        return Report(Exit.NO_REDIS, "redis", f"Redis refuses: {error}", "`stepmark doctor` looks at its settings")
    if isinstance(error, ValidationError):
        return _settings(error)
    if isinstance(error, OSError):
        return Report(Exit.USAGE, Kind.FILE_SYSTEM.value, str(error))
    if isinstance(error, typer.Abort):
        return Report(Exit.FAILED, "aborted", "nothing was done")
    return _usage(error)


def _of_broker(error: BaseException) -> bool:
    return any((each.__module__, each.__name__) == _NO_BROKER for each in type(error).__mro__)


def _declaration(error: ConfigError) -> Report:
    if not isinstance(error, FleetFileError):
        return Report(Exit.USAGE, error.kind, str(error), error.help)
    problems = tuple(vars(problem) | {"text": str(problem)} for problem in error.problems)
    count = len(problems)
    message = (
        f"{count} problem{'s' if count != 1 else ''} in {error.problems[0].file}" if count else "it cannot be used"
    )
    return Report(Exit.USAGE, error.kind, message, error.help, problems)


def _settings(error: ValidationError) -> Report:
    """The program's settings are the only values that are validated outside of a file."""
    problems = tuple(
        {"path": f"STEPMARK_{'_'.join(map(str, each['loc'])).upper()}", "text": _setting(each["loc"], each["msg"])}
        for each in error.errors(include_url=False, include_input=False)
    )
    return Report(Exit.USAGE, "configuration", "the settings cannot be used", "mend these variables", problems)


def _setting(place: tuple[int | str, ...], message: str) -> str:
    return f"STEPMARK_{'_'.join(map(str, place)).upper()}: {message}"


def _usage(error: BaseException) -> Report | None:
    if not isinstance(error, _COMMAND_LINE):
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "stepmark"
    said = error.message if _of_command(error) else error.format_message()
    return Report(Exit.USAGE, "usage", said.replace("Value error, ", ""), f"`{path} --help` explains it")


def _of_command(error: Any) -> bool:
    """Whether no value is wrong, but what was said to a command: it is hinted at by its name, not by an option's."""
    hint = getattr(error, "param_hint", None)
    return isinstance(hint, str) and hint[:1].islower()
