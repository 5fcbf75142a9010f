"""`worker`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from config import settings as settings_module
from tasks.workflows.model import Queue
from workers import crew, crypto
from workers.cli import connect, options, output
from workers.cli.reports import Exit
from workers.crew import Crew

Queues = Annotated[str, typer.Option("--queues", "-Q", metavar="LIST", help="Which queues to serve: one process each.")]
Beat = Annotated[bool, typer.Option("--beat", help="Start the scheduler too; only one in all.")]
_NAMES = ("-n", "--hostname")


def worker(
    context: typer.Context,
    queues: Queues = "tools,wait",
    beat: Beat = False,
    as_json: options.Json = False,  # noqa: ARG001 - for errors, which main prints
) -> int:
    """Start workers: a process for each queue. All other options go to `celery worker`.

    Example: stepmark worker --queues wait -c 200
    """
    chosen = _queues(queues)
    if len(chosen) > 1 and any(word.startswith(_NAMES) for word in context.args):
        raise typer.BadParameter("two processes cannot have one name: choose one queue", param_hint="--hostname")
    settings = settings_module.load()
    crypto.load(settings.encryption_key_file)
    connect.base().client.close()
    data = settings.data_dir.expanduser()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if beat and settings.fleet_file is None:
        output.err().print("No schedule will be fired: STEPMARK_FLEET_FILE names no fleet file.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    commands = crew.commands(chosen, context.args, settings, beat=beat)
    output.err().print(f"Starting {', '.join(commands)}. Ctrl-C ends them when their steps have ended.")
    return Exit.OK if Crew(commands).run() else Exit.FAILED


def _queues(text: str) -> list[Queue]:
    try:
        return [Queue(name) for name in dict.fromkeys(text.split(","))]
    except ValueError as error:
        known = ", ".join(queue.value for queue in Queue)
        raise typer.BadParameter(f"{text!r} is no list of queues; known: {known}", param_hint="--queues") from error
