"""Table: the matrix as Markdown, for the docs and for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from config.settings import Settings
from tasks import workflows
from tests.faults import cells, site
from tests.faults.catalogue import FAULTS
from tests.faults.cells import Cell
from tests.faults.fault import Fault
from tests.faults.judge import Verdict

Verdicts = Mapping[Cell, Verdict]
RIGHT, WRONG, NOTHING = "✓", "✗", "-"


def lines(verdicts: Verdicts) -> Iterator[str]:
    """All of it: totals, a row a fault, a table a workflow, what is wrong."""
    yield from _totals(verdicts)
    yield from ("", "## By fault", "", *_by_fault(verdicts))
    for name in workflows.WORKFLOWS:
        yield from ("", f"## {name}", "", *_of_workflow(name, verdicts))
    reasons = _reasons()
    yield from ("", "## Where a fault cannot strike", "", *(f"{number}. {why}." for why, number in reasons.items()))
    if wrong := [(cell, verdict) for cell, verdict in verdicts.items() if not verdict.right]:
        yield from ("", "## What is wrong", "")
        yield from (f"- {_title(cell)}: {'; '.join(verdict.wrong)}" for cell, verdict in wrong)


def _totals(verdicts: Verdicts) -> Iterator[str]:
    found, named = list(verdicts.values()), [v.named for v in verdicts.values() if v.named is not None]
    impossible = sum(bool(cell.why_not) for cell in cells.all_cells())
    yield f"- cells: {sum(v.right for v in found)}/{len(found)} right; {impossible} more cannot be"
    yield f"- attribution: {sum(named)}/{len(named)}, where there was a step to name"
    longest = max((v.known_seconds or 0.0 for v in found), default=0.0)
    bounds = [fault.known_seconds(Settings()) for fault in FAULTS]
    leases = " or ".join(f"{seconds:g} s" for seconds in sorted({fault.lease_seconds for fault in FAULTS}))
    lease = f"lease {leases}, grace {site.GRACE_SECONDS:g} s"
    yield f"- longest time from fault to known: {longest:.1f} s ({lease}); at the defaults at most {max(bounds):.0f} s"
    yield f"- executions that a policy does not allow: {sum(v.duplicates for v in found)}"
    yield f"- executions of one environment at one time: {sum(v.overlaps for v in found)}"


def _by_fault(verdicts: Verdicts) -> Iterator[str]:
    yield "| fault | right | known after, longest | at most | at the defaults | settled after, longest |"
    yield "|---|---|---|---|---|---|"
    for fault in FAULTS:
        found = [verdict for cell, verdict in verdicts.items() if cell.fault is fault]
        known = _longest([verdict.known_seconds for verdict in found])
        bounds = [_bound(fault, each) if known != NOTHING else NOTHING for each in (site.settings(fault), Settings())]
        settled = _longest([verdict.recovered_seconds for verdict in found])
        right = f"{sum(verdict.right for verdict in found)}/{len(found)}"
        yield f"| {fault.title} | {right} | {known} | {' | '.join(bounds)} | {settled} |"


def _bound(fault: Fault, settings: Settings) -> str:
    seconds = fault.known_seconds(settings)
    return f"{seconds:.1f} s" if seconds else "at once"


def _longest(seconds: Sequence[float | None]) -> str:
    known = [each for each in seconds if each is not None]
    return f"{max(known):.1f} s" if known else NOTHING


def _of_workflow(name: str, verdicts: Verdicts) -> Iterator[str]:
    steps, reasons = workflows.WORKFLOWS[name].steps, _reasons()
    yield f"| fault | {' | '.join(step.name for step in steps)} |"
    yield f"|---{'|---' * len(steps)}|"
    for fault in FAULTS:
        row = (Cell(name, index, fault) for index in range(1, len(steps) + 1))
        yield f"| {fault.title} | {' | '.join(_mark(cell, verdicts, reasons) for cell in row)} |"


def _mark(cell: Cell, verdicts: Verdicts, reasons: Mapping[str, int]) -> str:
    if cell.why_not:
        return f"n/a ({reasons[cell.why_not]})"
    verdict = verdicts.get(cell)
    return "" if verdict is None else RIGHT if verdict.right else WRONG


def _reasons() -> dict[str, int]:
    reasons = dict.fromkeys(cell.why_not for cell in cells.all_cells() if cell.why_not)
    return {why: number for number, why in enumerate(reasons, 1)}


def _title(cell: Cell) -> str:
    return f"{cell.fault.title}, {cell.workflow} {cell.index} {cell.step.name}"
