"""`worker`: a command that starts workers, and the group of those that look after them."""

from __future__ import annotations

import argparse
import logging
from typing import Annotated, Any

import typer
from celery.utils import nodenames
from typer.core import TyperGroup

from config import settings as settings_module
from tasks.workflows.model import Queue
from workers import capacity, crew, crypto, permissions
from workers.cli import connect, members, options, output
from workers.cli.reports import Exit
from workers.crew import Crew
from workers.permissions import Role
from workers.refusals import RefusedError
from workers.registry import Registry

Queues = Annotated[str, typer.Option("--queues", "-Q", metavar="LIST", help="Which queues to serve: one process each.")]
Beat = Annotated[bool, typer.Option("--beat", help="Fire the schedules too, or stand by while another one does.")]
_NAMES = ("-n", "--hostname")


class _Group(TyperGroup):
    """A group only if its first word is one of its commands: what else it is given is for Celery, in any order."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in self.commands:
            return super().parse_args(ctx, args)
        ctx.allow_interspersed_args = True
        super().parse_args(ctx, args)
        ctx.args, ctx._protected_args = [*ctx._protected_args, *ctx.args], []
        return list(ctx.args)


app = typer.Typer(
    cls=_Group,
    invoke_without_command=True,
    rich_markup_mode=None,
    # Options that it does not know are Celery's.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
app.command("list")(members.listing)
app.command()(members.drain)


@app.callback()
def worker(
    context: typer.Context,
    queues: Queues = "tools,wait",
    beat: Beat = False,
    as_json: options.Json = False,  # noqa: ARG001 - for errors, which main prints
) -> int:
    """Start workers: a process for each queue. All other options go to `celery worker`.

    Example: stepmark worker --queues wait -c 200
    """
    if context.invoked_subcommand:
        return Exit.OK
    chosen = _queues(queues)
    if len(chosen) > 1 and any(word.startswith(_NAMES) for word in context.args):
        raise typer.BadParameter("two processes cannot have one name: choose one queue", param_hint="--hostname")
    settings = settings_module.load()
    crypto.load(settings.encryption_key_file)
    base = connect.base()
    permissions.demand(base.client, settings, Role.WORKER)
    if twin := Registry(base.client, base.keys).twin(_worker_names(chosen, context.args)):
        advice = "give each a name of its own: `stepmark worker --queues QUEUE --hostname NAME`"
        raise RefusedError(f"another worker is called {twin.name}: process {twin.machine}/{twin.pid}", advice)
    base.client.close()
    data = settings.data_dir.expanduser()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    slots = {queue: capacity.slots(queue, settings) for queue in chosen}
    capacity.raise_file_limit(max(slots.values()))
    commands = crew.commands(slots, context.args, beat=beat)
    output.err().print(f"Starting {', '.join(commands)}. Ctrl-C ends them when their steps have ended.")
    return Exit.OK if Crew(commands).run() else Exit.FAILED


def _worker_names(queues: list[Queue], options_given: list[str]) -> list[str]:
    """What the workers will be called: as Celery reads the option that names one, else by their queues."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(*_NAMES)
    given = parser.parse_known_args(options_given)[0].hostname
    return [nodenames.default_nodename(nodenames.host_format(given or f"{queue.value}@%h")) for queue in queues]


def _queues(text: str) -> list[Queue]:
    try:
        return [Queue(name) for name in dict.fromkeys(text.split(","))]
    except ValueError as error:
        known = ", ".join(queue.value for queue in Queue)
        raise typer.BadParameter(f"{text!r} is no list of queues; known: {known}", param_hint="--queues") from error
