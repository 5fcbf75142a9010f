"""Every error of the project, and the kind that each one is."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of thing went wrong. It tells an operator what to do next, and nobody which step it was."""

    TEMPLATE_RENDERING = "template-rendering"
    INFRASTRUCTURE_OPERATION = "infrastructure-operation"
    NETWORK_CONNECTIVITY = "network-connectivity"
    AUTHENTICATION = "authentication"
    COMMAND_EXECUTION = "command-execution"
    TIMEOUT = "timeout"
    FILE_SYSTEM = "file-system"
    CONFIGURATION = "configuration"
    STATE_PERSISTENCE = "state-persistence"
    QUOTA = "quota"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker-lost"
    INTERNAL = "internal"


class StepmarkError(Exception):
    """The root of every error that this project raises. `str(error)` is one line; `help` says what to do next."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    help: ClassVar[str] = ""


class ConfigurationError(StepmarkError):
    """The operator's input cannot be used. Arguments: what is wrong, in one line."""

    kind = Kind.CONFIGURATION

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class ToolMissingError(ConfigurationError):
    """A program that the step needs is not on this worker's PATH."""

    help = "run `stepmark doctor` on the worker: it says how to get what is missing"


class DestroyRefusedError(ConfigurationError):
    """The plan would destroy or replace what exists, and nobody allowed that. Arguments: what, in one line."""

    help = "read the plan (`stepmark logs`); if that is what you want, run it again with `--allow-destroy`"


class TemplateError(StepmarkError):
    """A template could not be rendered. Arguments: the template's name, what is wrong with it."""

    kind = Kind.TEMPLATE_RENDERING

    def __init__(self, template: str, problem: str) -> None:
        super().__init__(template, problem)
        self.template = template
        self.problem = problem

    def __str__(self) -> str:
        return f"template {self.template}: {self.problem}"


class ToolError(StepmarkError):
    """A program failed. What it carries is redacted.

    Arguments: one line that says what failed; the command as text; its exit status (None: it did not end by
    itself); the last lines of its output.
    """

    kind = Kind.COMMAND_EXECUTION

    def __init__(self, summary: str, command: str = "", exit_status: int | None = None, output_tail: str = "") -> None:
        super().__init__(summary, command, exit_status, output_tail)
        self.summary = summary
        self.command = command
        self.exit_status = exit_status
        self.output_tail = output_tail

    def __str__(self) -> str:
        return self.summary


class InfrastructureError(ToolError):
    """An OpenTofu command failed."""

    kind = Kind.INFRASTRUCTURE_OPERATION


class SandboxError(InfrastructureError):
    """A sandbox host, or what it is made from, could not be made."""


class UnknownOutcomeError(InfrastructureError):
    """An apply was cut off, and nobody can tell whether it made a host: the operator has to look."""

    help = (
        "look for the host by hand: if there is none, `stepmark resume ENV --nothing-made`; "
        "if there is one, end it first, or import it into the state"
    )


class FileSystemError(ToolError):
    """A program could not write to this worker's disk."""

    kind = Kind.FILE_SYSTEM


class RemoteCommandError(ToolError):
    """A command or a playbook task failed on the host."""

    kind = Kind.COMMAND_EXECUTION


class LaterScopeError(RemoteCommandError):
    """The host refused the command: a later run or epoch works there, or has worked there."""

    help = (
        "if nothing of a later run works there (Redis's clock or what it holds went back), "
        "remove the directory that the host named, on the host"
    )


class PlaybookError(ToolError):
    """A playbook of ours could not be run at all: a fault of ours, not of the host."""

    kind = Kind.INTERNAL


class NetworkError(ToolError):
    """The host refused the connection, or could not be reached or resolved."""

    kind = Kind.NETWORK_CONNECTIVITY


class AuthenticationError(ToolError):
    """A key or a credential was refused, or the host's key is not the pinned one."""

    kind = Kind.AUTHENTICATION


class QuotaError(ToolError):
    """The provider's limit, or its rate limit, was reached."""

    kind = Kind.QUOTA


class StateError(ToolError):
    """What had to be kept could not be kept: Redis, or the OpenTofu state in it, refused it."""

    kind = Kind.STATE_PERSISTENCE


class OrphanedStateError(StateError):
    """States came after their lock was gone; until somebody settles them nothing is planned, applied or destroyed."""

    help = "`stepmark state reconcile ENV` shows them and settles them"


class DeadlineError(ToolError):
    """A deadline of ours passed; what was running has been ended."""

    kind = Kind.TIMEOUT


class CancelledError(ToolError):
    """Somebody cancelled the run while it ran."""

    kind = Kind.CANCELLED


class LeaseLostError(StepmarkError):
    """This worker no longer holds the run: another may go on with it, so nothing more may be done or recorded here."""

    kind = Kind.WORKER_LOST

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the run is no longer held here: {self.reason}"


class HandOverError(LeaseLostError):
    """This worker is told to stop: its programs have been ended, and another worker goes on with the run."""


class CannotFindError(StepmarkError):
    """A provider has no way to tell whether a host already exists. Arguments: the provider's name."""

    kind = Kind.INFRASTRUCTURE_OPERATION
    help = "look for the host by hand, then `stepmark resume` or `stepmark destroy`"

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider

    def __str__(self) -> str:
        return f"provider {self.provider} cannot look for an existing host"
