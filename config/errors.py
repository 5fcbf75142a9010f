"""What is wrong with what the operator declared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class ConfigError(Exception):
    """The root of this package's errors. `str(error)` is one line, or for a file one a problem; `help`: what next."""

    kind: ClassVar[str] = "configuration"
    help: ClassVar[str] = ""


class SecretError(ConfigError):
    """A secret is not where its reference says. Arguments: the reference, what is wrong with it."""

    help = "set the variable, or put the file there, on the machine that runs the worker"

    def __init__(self, reference: str, problem: str) -> None:
        super().__init__(reference, problem)
        self.reference = reference
        self.problem = problem

    def __str__(self) -> str:
        return f"secret {self.reference}: {self.problem}"


class SelectionError(ConfigError):
    """A selection of environments cannot be used. Arguments: what is wrong, in one line."""

    help = "`stepmark validate FLEET` lists the environments of a fleet file, with their groups and labels"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file.

    line, column: from 1; 0 if it is the file as a whole. path: of the key, as `environments[2].ssh.port`, or "".
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class FleetFileError(ConfigError):
    """A fleet file cannot be used. `problems`: all of them, in the order of the file."""

    help = "`stepmark schema` prints the JSON Schema that an editor can check the file against"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(set(problems), key=lambda problem: (problem.line, problem.column, problem.path, problem.message))
        )
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class FleetFileUnreadError(FleetFileError):
    """There is no fleet file where it should be, or nobody may read it."""

    help = "name the fleet file, or set STEPMARK_FLEET_FILE; `stepmark init` writes a first one"
