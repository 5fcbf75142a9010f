"""Output: results on standard output, as text or as JSON; everything else on standard error."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workers.cli.reports import Report

_UNBOUNDED = 10_000


def out() -> Console:
    """Where results go. Made when needed: the streams may have been replaced since."""
    return Console(highlight=False, emoji=False, width=_width(sys.stdout))


def err() -> Console:
    """Where progress, questions and errors go."""
    return Console(stderr=True, highlight=False, emoji=False, width=_width(sys.stderr))


def _width(stream: TextIO | None) -> int | None:
    """The terminal's; where there is none, nothing is wrapped or cut. None: the stream was closed by the shell."""
    return None if stream and stream.isatty() else _UNBOUNDED


def table(*headings: str, whole: tuple[str, ...]) -> Table:
    """A table of these columns; on a narrow terminal all but the `whole` ones are wrapped, and nothing is cut."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, no_wrap=heading in whole, overflow="fold")
    return made


def emit(shape: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(shape, ensure_ascii=False, indent=2), flush=True)


def fail(report: Report, *, as_json: bool) -> int:
    """Say what is wrong; gives the exit status."""
    if as_json:
        emit({"error": report.shape()})
        return report.status
    console = err()
    console.print(f"[bold red]error:[/] {escape(report.message)}", soft_wrap=True)
    for problem in report.problems:
        console.print(f"  {escape(problem['text'])}", soft_wrap=True)
    if report.help:
        console.print(f"[dim]help:[/] {escape(report.help)}", soft_wrap=True)
    return report.status
