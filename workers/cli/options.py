"""The arguments and options that several commands share, and how they complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, cast

import redis
import typer

from config import settings as settings_module
from config.errors import ConfigError
from tasks.errors import StepmarkError
from workers import connection
from workers.keys import Keys

_COMPLETION_SECONDS = 0.5


def complete_environment(incomplete: str) -> list[str]:
    """The environments in Redis whose names begin so; none if it does not answer at once."""
    return _begin(incomplete, lambda client, keys: client.smembers(keys.environments()))


def complete_rollout(incomplete: str) -> list[str]:
    """The rollouts in Redis whose ids begin so; none if it does not answer at once."""
    return _begin(incomplete, lambda client, keys: client.zrange(keys.rollouts(), 0, -1))


def complete_schedule(incomplete: str) -> list[str]:
    """The schedules in Redis whose names begin so; none if it does not answer at once."""
    return _begin(incomplete, lambda client, keys: client.smembers(keys.schedules()))


def _begin(incomplete: str, read: Callable[[redis.Redis, Keys], object]) -> list[str]:
    try:
        settings = settings_module.load()
        seconds = _COMPLETION_SECONDS
        with connection.client(settings, socket_timeout=seconds, socket_connect_timeout=seconds) as client:
            names = cast("set[str]", read(client, Keys(settings.key_prefix)))
    except (redis.RedisError, ConfigError, StepmarkError, ValueError):  # pydantic's are ValueErrors
        return []
    return sorted(name for name in names if name.startswith(incomplete))


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text, errors included.")]
FleetFile = Annotated[
    Path | None,
    typer.Argument(metavar="[FLEET]", help="The fleet file. Default: STEPMARK_FLEET_FILE, else ./fleet.yaml."),
]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME", help="Only this environment (repeatable).")]
Group = Annotated[list[str] | None, typer.Option("--group", metavar="NAME", help="Only this group (repeatable).")]
Label = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Only with it (repeatable).")]
Detach = Annotated[bool, typer.Option("--detach", help="Print the ids of the runs, or of the rollout, and return.")]
AllowDestroy = Annotated[
    bool, typer.Option("--allow-destroy", help="Go on even if the plan destroys or replaces what exists.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded with your name.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not ask the workers whether they have what is needed.")]
Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment's name.", autocompletion=complete_environment)
]
SomeEnvironments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ENV...]", help="The environments' names.", autocompletion=complete_environment),
]
Environments = Annotated[
    list[str],
    typer.Argument(metavar="ENV...", help="The environments' names.", autocompletion=complete_environment),
]


def labels(given: Sequence[str] | None) -> dict[str, str]:
    """The labels on the command line.

    Raises:
        typer.BadParameter: one is not KEY=VALUE.
    """
    pairs = [text.partition("=") for text in given or ()]
    for key, separator, _ in pairs:
        if not separator:
            raise typer.BadParameter(f"{key!r} is not KEY=VALUE", param_hint="--label")
    return {key: value for key, _, value in pairs}
