"""Summary: a fleet on one screen: how many are where, what needs eyes, and how to see the rest of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from workers.cli import words
from workers.cli.outlook import Outlook
from workers.overview import Overview
from workers.overviewrow import Row, Standing, standing

_WIDE = 40
_MOST_PLACES = 12
_MOST_EYES = 20
_LIVE = ("running", "queued", "waiting", "lost")
_STATUSES = (*_LIVE, "failed", "cancelled", "pending", "succeeded")
_EYES = ("lost", "failed", "waiting", "drifted", "partial")


def lines(found: Overview, around: Outlook) -> Iterator[str]:
    """The summary, line by line."""
    yield from _counts(found.rows)
    yield from _under_way(found, around)
    yield from _failures(found.rows)
    yield from _eyes(found, around)


def each(found: Overview, around: Outlook, rows: Iterable[Row]) -> Iterator[str]:
    """One line an environment: state, place, status, since when, note."""
    for row in rows:
        text = f"{row.environment:<16}  {words.plain_state(standing(row)):<17}"
        if run := found.sight(row):
            since = words.span(run.read_at - words.since(run))
            text += f"  {words.place(run):<{_WIDE}}  {words.plain_status(run):<11}  {since:>7}  {around.brief(run)}"
        yield text.rstrip()


def _counts(rows: Sequence[Row]) -> Iterator[str]:
    states = Counter((row.state, row.state_partial == "1", row.drifted == "1") for row in rows).most_common()
    statuses = Counter(row.status for row in rows)
    named = ((words.plain_state(Standing("", *marks, 0.0)), count) for marks, count in states)
    yield f"{len(rows)} environments: {_list(named)}"
    yield f"their runs: {_list((status, statuses[status]) for status in _STATUSES if statuses[status]) or 'none'}"


def _list(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts)


def _place(row: Row) -> str:
    return f"{row.workflow} {row.step_index}/{row.total} {row.step}"


def _under_way(found: Overview, around: Outlook) -> Iterator[str]:
    """How many runs are at which step, and for how long the one has been there that came first."""
    live = [row for row in found.rows if row.status in _LIVE]
    if not live:
        return
    counts = Counter((_place(row), row.status) for row in live)
    first: dict[str, float] = {}
    for row in live:
        since = float(row.step_started_at or row.due_at or row.created_at)
        first[_place(row)] = min(since, first.get(_place(row), since))
    yield f"\n{'under way':<{_WIDE}}" + "".join(f"  {status:>7}" for status in _LIVE) + f"  {'longest':>7}"
    places = Counter(map(_place, live))
    for place in sorted(dict(places.most_common(_MOST_PLACES))):
        cells = "".join(f"  {counts[place, status] or '':>7}" for status in _LIVE)
        yield f"{place:<{_WIDE}}{cells}  {words.span(found.at - first[place]):>7}"
    yield from _rest(places, "runs")
    queued = [row for row in live if row.status == "queued"]
    if queued:
        row = min(queued, key=_due_at)
        yield f"queued longest: {row.environment} for {words.span(found.at - _due_at(row))} at {_place(row)}"
    for queue, count in Counter(row.queue for row in queued).items():
        if around.unserved(queue) and not around.paused:
            yield f"no worker takes steps of `{queue}`: {count} wait; `stepmark worker list` says who lives"


def _due_at(row: Row) -> float:
    return float(row.due_at)


def _failures(rows: Sequence[Row]) -> Iterator[str]:
    """Where how many have failed, by kind."""
    failed = Counter((_place(row), row.kind) for row in rows if row.status == "failed")
    if not failed:
        return
    yield f"\n{'failed':<{_WIDE}}  {'kind':<24}  {'count':>7}"
    for (place, kind), count in failed.most_common(_MOST_PLACES):
        yield f"{place:<{_WIDE}}  {kind:<24}  {count:>7}"
    yield from _rest(failed, "failures")


def _rest(counts: Counter[str] | Counter[tuple[str, str]], what: str) -> Iterator[str]:
    hidden = counts.most_common()[_MOST_PLACES:]
    if hidden:
        yield f"and {sum(count for _, count in hidden)} {what} at {len(hidden)} other places"


def _eyes(found: Overview, around: Outlook) -> Iterator[str]:
    """Those that somebody should look at, one by one; the newest first, and no more than there is room for."""
    wanting = sorted((_EYES.index(why), -_since(row), row) for row in found.rows if (why := _why(row)))
    if not wanting:
        return
    rows = [row for _, _, row in wanting]
    yield f"\nneed a look: {min(len(rows), _MOST_EYES)} of {len(rows)}"
    yield from each(found, around, rows[:_MOST_EYES])
    hidden = Counter(_why(row) for row in rows[_MOST_EYES:])
    if hidden:
        example = "`stepmark status --state failed --all` lists those that failed"
        yield f"and {_list((why, hidden[why]) for why in _EYES if hidden[why])}: {example}"


def _since(row: Row) -> float:
    return float(row.ended_at or row.step_started_at or row.updated_at)


def _why(row: Row) -> str:
    """Why it needs a look; empty: it does not."""
    if row.status in ("lost", "failed", "waiting"):
        return row.status
    if row.drifted == "1":
        return "drifted"
    return "partial" if row.state_partial == "1" or row.partial == "1" else ""
