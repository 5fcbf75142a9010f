"""The verbs that operators and schedules use, as the workflows they mean."""

from __future__ import annotations

import getpass
import socket

from config.fleet import EnvironmentSpec
from config.rollout import Policy
from tasks.providers import registry
from tasks.providers.base import Need
from tasks.workflows import WORKFLOWS

_UP = "up"


def workflows(verb: str, environment: EnvironmentSpec) -> tuple[str, ...]:
    """The workflows that `verb` runs, in order: `up` provisions, or registers a host that exists, and configures it."""
    if verb != _UP:
        return (verb,)
    exists = Need.PROVISIONING in registry.get(environment).lacks(environment)
    return ("register" if exists else "provision", "configure")


def policy(verb: str, declared: Policy) -> Policy:
    """What of a fleet's policy holds for `verb`: a look changes nothing, and needs no canary."""
    workflow = WORKFLOWS.get(verb)
    return declared.model_copy(update={"canary": None}) if workflow and workflow.watches else declared


def whoami() -> str:
    """`user@machine` as the system says it; nobody has proved it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
