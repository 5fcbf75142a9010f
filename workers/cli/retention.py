"""`retention`: what is past its lifetime, and is not forgotten by itself."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from workers.cli import connect, options, output
from workers.cli.reports import Exit
from workers.retention import Retention

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What is past its lifetime.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count it.")]
_WORDS = {
    "runs": "runs in histories, whose records are gone",
    "checks": "looks for drift, whose records are gone",
    "traces": "traces in histories, which are gone",
    "gone": "notes on environments that were forgotten or renamed",
}


@app.callback()
def _group() -> None:
    """What is past its lifetime."""


@app.command()
def run(dry_run: DryRun = False, as_json: options.Json = False) -> int:
    """Drop what is past its lifetime and is still named somewhere. Beat has a worker do so once a day.

    Example: stepmark retention run --dry-run
    """
    found = dataclasses.asdict(Retention(connect.base()).perform(dry=dry_run))
    if as_json:
        output.emit({"dry_run": dry_run, "dropped": found})
        return Exit.OK
    for name, count in found.items():
        output.out().print(f"{count:>6}  {_WORDS[name]}")
    if dry_run:
        output.out().print("Nothing was dropped: it was only counted.")
    return Exit.OK
