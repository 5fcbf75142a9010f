"""The verbs that operators and schedules use, as the workflows they mean."""

from __future__ import annotations

import getpass
import socket

from config.fleet import EnvironmentSpec
from tasks.providers import registry
from tasks.providers.base import Need

_UP = "up"


def workflows(verb: str, environment: EnvironmentSpec) -> tuple[str, ...]:
    """The workflows that `verb` runs, in order: `up` provisions, or registers a host that exists, and configures it."""
    if verb != _UP:
        return (verb,)
    exists = Need.PROVISIONING in registry.get(environment).lacks(environment)
    return ("register" if exists else "provision", "configure")


def whoami() -> str:
    """`user@machine` as the system says it; nobody has proved it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
