"""Whether the overview says of every environment what its records say."""

from __future__ import annotations

from collections.abc import Iterator

from workers.cli.words import Run
from workers.overview import Overviews
from workers.overviewrow import standing
from workers.records import EnvironmentRecord
from workers.runtime import Base

_SAME = (
    *("environment", "run", "epoch", "workflow", "index", "total", "display", "live", "partial", "created_at"),
    *("due_at", "step_started_at", "started_at", "ended_at", "ending_seconds", "lease_until"),
    *("most", "kind", "retried", "taken", "again"),
)
# Nothing is None in a record, and empty from afar.
_EMPTY = ("step", "worker", "next", "attempt")


def disagreements(base: Base) -> list[str]:
    """What the overview says otherwise; nothing is mended by this look."""
    rows = Overviews(base.client, base.keys)._look(())[1]
    seen = {row.environment: row for row in rows.rows}
    records = base.store.environments()
    found = [f"{name} is in the overview only" for name in seen.keys() - {record.name for record in records}]
    for record in records:
        if record.name not in seen:
            found.append(f"{record.name} is not in the overview")
            continue
        kept = base.store.runs(filter(None, [record.current_run])).get(record.current_run or "")
        found += _of_environment(record, standing(seen[record.name]))
        found += _of_run(record.name, kept, rows.sight(seen[record.name]))
    return found


def _of_environment(record: EnvironmentRecord, shown: object) -> Iterator[str]:
    if bool(record.drift) != bool(getattr(shown, "drift", None)):
        yield f"{record.name}: its drift is {record.drift!r}, shown {shown!r}"
    for field in ("name", "state", "partial", "updated_at"):
        kept, seen = getattr(record, field), getattr(shown, field)
        if (kept or False) != (seen or False):
            yield f"{record.name}: {field} is {kept!r}, shown {seen!r}"


def _of_run(name: str, kept: Run | None, shown: Run | None) -> Iterator[str]:
    if kept is None or shown is None:
        if kept is not shown:
            yield f"{name}: its run is {kept!r}, shown {shown!r}"
        return
    for field in _SAME:
        if getattr(kept, field) != getattr(shown, field) and not (field == "lease_until" and kept.display == "running"):
            yield f"{name}: {field} is {getattr(kept, field)!r}, shown {getattr(shown, field)!r}"
    if getattr(shown, "queue", "") != (kept.queue if kept.status == "queued" else ""):
        yield f"{name}: its queue is {kept.queue!r}, shown {shown!r}"
    for field in _EMPTY:
        if (getattr(kept, field) or None) != (getattr(shown, field) or None):
            yield f"{name}: {field} is {getattr(kept, field)!r}, shown {getattr(shown, field)!r}"
