"""What `status` does only when it is asked to: it follows the runs that go on, and writes all that is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tasks.workflows.drift import DRIFT_CHECK
from workers.cli import connect, enqueue, look, outcomes
from workers.cli.news import position
from workers.cli.outcomes import Outcome
from workers.cli.reports import Exit
from workers.cli.wanted import Wanted
from workers.cli.watch import Watch
from workers.firingrecord import Firing
from workers.notices import Pause
from workers.overview import Overview, Overviews
from workers.runtime import Base

_PAGE = 200


def follow(asked: Wanted, *, as_json: bool) -> Exit:
    """Show the runs that go on now, until they have ended; gives the exit status of them all."""
    base = connect.base()
    after = position(base)
    found = asked.look(Overviews(base.client, base.keys))
    sights = filter(None, map(found.sight, found.rows))
    runs = {sight.environment: sight.run for sight in sights if sight.live}
    watched = Watch(base, runs, after)
    enqueue.follow(watched, as_json=as_json)
    return outcomes.exit_status(_outcomes(base, watched))


def _outcomes(base: Base, watched: Watch) -> tuple[Outcome, ...]:
    """What became of the runs that were followed. Only a look for drift is told by its environment, too."""
    ids = {name: run.run for name, run in watched.runs.items()}
    found = base.store.runs(ids.values())
    looks = [run.environment for run in found.values() if run.workflow == DRIFT_CHECK.name]
    records = {record.name: record for record in base.store.environments(looks)} if looks else {}
    return tuple(Outcome(name, records.get(name), found.get(run), None) for name, run in ids.items())


def emit(found: Overview) -> None:
    """Print the document: as it is read, for all of a large fleet at once would not fit into memory."""
    base = connect.base()
    firings = [Firing.model_validate_json(text).model_dump(mode="json") for text in found.firings]
    rest = {
        "schedules": firings,
        "paused": Pause.model_validate_json(found.paused).model_dump(mode="json") if found.paused else None,
    }
    sys.stdout.write('{"environments": [')
    separator = "\n"
    for shape in _shapes(base, [row.environment for row in found.rows]):
        sys.stdout.write(separator + json.dumps(shape, ensure_ascii=False))
        separator = ",\n"
    sys.stdout.write(f"\n], {json.dumps(rest, ensure_ascii=False)[1:]}\n")
    sys.stdout.flush()


def _shapes(base: Base, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for begin in range(0, len(names), _PAGE):
        records = base.store.environments(names[begin : begin + _PAGE])
        runs = base.store.runs(filter(None, (record.current_run for record in records)))
        for record in records:
            yield look.environment_shape(record) | {"run": look.run_shape(runs.get(record.current_run or ""))}
