"""The program `stepmark`."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Annotated

import redis
import typer

from config import settings as settings_module
from workers import connection, permissions
from workers import version as versions
from workers.cli import (
    again,
    cancel,
    declare,
    demo,
    doctor,
    launching,
    look,
    orphans,
    output,
    pause,
    reading,
    reports,
    retention,
    rollout,
    schedule,
    state,
    worker,
)
from workers.cli.reports import Exit, Report
from workers.permissions import Role

app = typer.Typer(
    name="stepmark",
    help="Provision a fleet, and always know which step every host is on.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"stepmark {versions.number()}\n")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Provision a fleet, and always know which step every host is on."""


for _command in (
    *(declare.init, declare.validate, declare.schema),
    *(launching.up, launching.provision, launching.configure, launching.register),
    *(launching.drift, launching.destroy),
    *(again.resume, again.retry, again.skip, cancel.cancel, pause.pause, pause.unpause),
    *(doctor.doctor, demo.demo),
    *(orphans.orphans, orphans.forget, orphans.adopt),
    *(look.status, look.show, reading.trace, reading.logs),
):
    app.command()(_command)
app.add_typer(rollout.app, name="rollout")
app.add_typer(schedule.app, name="schedule")
app.add_typer(state.app, name="state")
app.add_typer(worker.app, name="worker")
app.add_typer(retention.app, name="retention")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, by default the process's own; gives the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = app(words, prog_name="stepmark", standalone_mode=False)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _closed()
    except Exception as error:  # noqa: BLE001 - the last place where it can be said in words
        return _failed(error, words)
    return status if isinstance(status, int) else Exit.OK


def _failed(error: Exception, words: list[str]) -> int:
    as_json = "--json" in words
    if "--debug" in words:
        traceback.print_exception(error)
    found = reports.report(error) or _bug(error)
    if permissions.refused(error):
        found = dataclasses.replace(found, help=_missing(found.help))
    return output.fail(found, as_json=as_json)


def _missing(otherwise: str) -> str:
    """Which permissions of an operator this user of Redis lacks."""
    try:
        settings = settings_module.load()
        permissions.demand(connection.connect(settings), settings, Role.OPERATOR)
    except redis.exceptions.NoPermissionError as error:
        return str(error)
    except redis.RedisError:
        return otherwise
    return otherwise


def _bug(error: Exception) -> Report:
    """What is said of an error that nobody expected; its traceback goes into a file."""
    with tempfile.NamedTemporaryFile("w", prefix="stepmark-", suffix=".traceback", delete=False) as file:
        traceback.print_exception(error, file=file)
    message = f"this is a bug of ours: {type(error).__name__}: {error}"
    return Report(Exit.FAILED, "internal", message, f"please report it with its traceback, in {file.name}")


def _closed() -> int:
    """Whoever read our output has gone: nothing more can be said, not even while Python ends."""
    sys.stdout = None
    return Exit.FAILED
