"""Schedules and their firings, in words and in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from config.rollout import Policy
from workers.cli import output, policywords, words
from workers.firingrecord import Due, Firing, Outcome
from workers.rolloutrecord import RolloutRecord, RolloutStatus
from workers.runtime import Base
from workers.schedule import ROLLOUT, Change, Changes, ScheduleRecord, Schedules

_COLOURS = {Outcome.LAUNCHED: "green", Outcome.LEFT_OUT: "red", Outcome.WAITING: "yellow"}


def table(
    found: Sequence[ScheduleRecord], last: Mapping[str, Firing], rollouts: Mapping[str, RolloutRecord], now: float
) -> Table:
    """A row a schedule. last: its last firing, by its name; rollouts: what those have begun, by id."""
    headings = ("schedule", "launches", "on", "when", "next", "last", "what it did")
    made = output.table(*headings, whole=("schedule", "next", "last"))
    for record in found:
        schedule, firing = record.schedule, last.get(record.schedule.name)
        made.add_row(
            schedule.name,
            schedule.workflow,
            str(len(record.environments)) if schedule.select else "-",
            escape(schedule.when),
            escape(next_due(record)),
            f"{words.span(now - firing.fired_at)} ago" if firing else "-",
            f"[{_colour(firing, rollouts)}]{escape(did(firing, rollouts))}[/]" if firing else "",
        )
    return made


def lines(
    record: ScheduleRecord,
    upcoming: Sequence[float],
    firings: Sequence[Firing],
    rollouts: Mapping[str, RolloutRecord],
) -> Iterator[str]:
    """All that is known of one schedule."""
    schedule = record.schedule
    missed = f"{schedule.missed}, up to {words.span(schedule.late_seconds)}" if schedule.late_seconds else "skip"
    yield f"{schedule.name}: {schedule.workflow}, {schedule.when}"
    yield f"  overlap {schedule.overlap}, missed {missed}"
    yield f"  applied {words.moment(record.applied_at)} by {record.applied_by}"
    if schedule.select:
        yield f"  on {', '.join(record.environments)}"
        yield f"  as a rollout, {policywords.whole(record.policy)}"
    if record.waiting:
        yield f"  the firing of {words.moment(Due.parse(record.waiting).at)} waits for an earlier one"
    yield f"next: {', '.join(map(words.moment, upcoming)) or next_due(record)}"
    for firing in firings:
        asked = f" by {firing.by}" if firing.by else ""
        yield f"{words.moment(firing.fired_at)}{asked}: {did(firing, rollouts)}"
        yield from (f"  {name}: {reason}" for name, reason in firing.left_out.items())


def changes(found: Changes, old: Policy, new: Policy) -> list[str]:
    """What an application changes: `every: 6h -> 4h`, `rollout: 10 at a time -> 20 at a time`, `+ web-1`."""
    return [*(_change(each, old, new) for each in found.fields), *found.environments]


def _change(change: Change, old: Policy, new: Policy) -> str:
    if change.field.startswith(ROLLOUT):
        return f"rollout: {policywords.changed(change.field.removeprefix(ROLLOUT), old, new)}"
    return f"{change.field}: {change.old or 'none'} -> {change.new or 'none'}"


def next_due(record: ScheduleRecord) -> str:
    """When it is due next, or who paused it."""
    if record.paused is None:
        return words.moment(record.next_at)
    return f"paused by {record.paused.by} since {words.moment(record.paused.at)}: {record.paused.reason or 'no reason'}"


def did(firing: Firing, rollouts: Mapping[str, RolloutRecord]) -> str:
    """What a firing did, in a few words; of a rollout, how far it is."""
    if firing.reason or firing.job:
        return f"left out: {firing.reason}" if firing.reason else "given to a worker"
    if record := rollouts.get(firing.rollout or ""):
        return f"rollout {record.rollout}: {_progress(record)}"
    return f"rollout {firing.rollout} over {firing.environments}"


def _colour(firing: Firing, rollouts: Mapping[str, RolloutRecord]) -> str:
    record = rollouts.get(firing.rollout or "")
    if record and (record.status is RolloutStatus.FAILED or record.drifted):
        return "yellow"
    return _COLOURS[firing.outcome]


def _progress(record: RolloutRecord) -> str:
    """As `11 of 12 succeeded, 1 failed`."""
    counts = (
        (record.failed + record.gone, "failed"),
        (record.cancelled, "cancelled"),
        (record.left_out, "left out"),
        (record.drifted, "drifted"),
        (record.live, "going on"),
        (record.pending, "paused" if record.status is RolloutStatus.PAUSED else "to come"),
    )
    return ", ".join([f"{record.succeeded} of {record.total} succeeded", *(f"{n} {word}" for n, word in counts if n)])


def warn(base: Base) -> None:
    """Say so if nobody fires the schedules that there are."""
    kept = Schedules(base.client, base.keys)
    if kept.names() and kept.beat() is None:
        output.err().print("No beat is active, so nothing is fired: `stepmark worker --beat` starts one.")
