"""The table of a few environments."""

from __future__ import annotations

from rich.markup import escape

from workers.cli import outlook, output, words
from workers.cli.outlook import Outlook
from workers.overview import Overview
from workers.overviewrow import standing


def show(found: Overview, around: Outlook) -> None:
    """Print it: where each environment is, and how its last run failed."""
    console = output.out()
    if around.paused:
        console.print(escape(f"{outlook.words(around.paused)}; `stepmark unpause` goes on.\n"), style="yellow")
    columns = ("environment", "state", "last run", "status", "since", "note")
    table = output.table(*columns, whole=("environment", "since"))
    for row in found.rows:
        run = found.sight(row)
        cells = ("-", "", "", "")
        if run:
            since = words.span(run.read_at - words.since(run))
            cells = (words.place(run), words.status(run, timed=False), since, escape(around.brief(run)))
        table.add_row(row.environment, words.state(standing(row)), *cells)
    console.print(table)
