"""`demo`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer
from rich.markup import escape

from workers.cli import options, output
from workers.cli.reports import Exit
from workers.demo.play import Play, Wishes

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Install missing Debian packages without asking.")]
Mend = Annotated[
    bool | None,
    typer.Option("--mend/--no-mend", help="Mend the failed host, resume it. Default: ask at a terminal."),
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave everything running, and say how to use and to end it.")]


def demo(yes: Yes = False, mend: Mend = None, keep: Keep = False, as_json: options.Json = False) -> int:
    """Show it on this machine: four hosts side by side, one fails and is resumed; then remove it all.

    Example: stepmark demo --mend
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: everything is removed first
        signal.signal(number, signal.default_int_handler)
    wishes = Wishes(
        mend=lambda: _asked("Mend it and resume?") if mend is None else mend,
        may_install=lambda packages: _may_install(packages, yes=yes),
        keep=keep,
        say=_say,
        redis_url=os.environ.get("STEPMARK_REDIS_URL"),
        output=sys.stderr.fileno() if as_json else None,
    )
    found = Play(wishes).perform()
    if as_json:
        output.emit(found)
    return Exit.OK if found["well"] else Exit.FAILED


def _say(line: str) -> None:
    """On standard error, at once: what the commands print has its own order."""
    output.err().print(escape(line), soft_wrap=True)


def _asked(question: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(question, default=True, err=True)


def _may_install(packages: tuple[str, ...], *, yes: bool) -> bool:
    _say(f"The better kind of host needs Debian packages that are missing: {', '.join(packages)}.")
    if yes:
        return True
    if not sys.stdin.isatty():
        _say("Say --yes to have them installed.")
        return False
    return typer.confirm("Install them?", default=False, err=True)
