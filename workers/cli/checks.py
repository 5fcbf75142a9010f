"""How what was looked for in an environment is shown: its drift, and a look that came to no end."""

from __future__ import annotations

from workers.cli import words
from workers.records import EnvironmentRecord, RunRecord
from workers.runtime import Base


def latest(base: Base, environment: str) -> tuple[RunRecord, ...]:
    """The last looks for drift that are kept, newest first."""
    runs = base.store.checks(environment)
    found = base.store.runs(runs)
    return tuple(found[run] for run in runs if run in found)


def lines(base: Base, record: EnvironmentRecord) -> list[str]:
    """What is known of its drift; nothing if nobody has looked."""
    said = []
    if record.drift:
        said += [words.drift(record.drift), f"  seen last at {words.moment(record.drift.at)} by run {record.drift.run}"]
        said += [f"  next: {words.mend_drift(record)}"]
    elif record.checked_at:
        said.append(f"no drift at {words.moment(record.checked_at)}")
    for check in latest(base, record.name)[:1]:
        if check.failure and not check.live:
            said.append(f"the last look for drift failed: {check.failure.error_kind}: {check.failure.error_summary}")
            said.append(f"  stepmark trace {check.failure.trace_id}")
    return said
