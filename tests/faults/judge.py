"""Judge: what was seen of a cell against what the code's tables say. It knows no fault by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from config.settings import Settings
from tasks.failure import RunStatus
from tasks.workflows import WORKFLOWS
from tests.faults import cells
from tests.faults.cells import Cell, Expectation
from tests.faults.fault import Loss
from tests.faults.trial import Seen
from workers.tracker import Why

# Our clock and Redis's are the same, but read one after the other.
CLOCK_SECONDS = 0.05


@dataclass(frozen=True)
class Verdict:
    """wrong: one sentence a fault of ours; none: the cell is right. Seconds are None where there was nothing to know.

    named: whether the system named the right step; None: nothing was to be named. executions: of the hit step, on the
    host. overlaps: pairs of executions of one environment at one time.
    """

    wrong: tuple[str, ...]
    named: bool | None = None
    known_seconds: float | None = None
    recovered_seconds: float | None = None
    executions: int = 0
    overlaps: int = 0
    duplicates: int = 0

    @property
    def right(self) -> bool:
        """Whether all is as it must be."""
        return not self.wrong


@dataclass
class Span:
    """One execution of a program, as its host saw it. last: when it was last seen alive."""

    step: str
    scope: str
    start: float
    last: float
    done: bool = False


@dataclass
class _Case:
    cell: Cell
    seen: Seen
    wanted: Expectation
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, found: object, wanted: object) -> bool:
        if found != wanted:
            self.wrong.append(f"{what} is {found}, not {wanted}")
        return found == wanted


def judge(cell: Cell, seen: Seen, settings: Settings, slack_seconds: float) -> Verdict:
    """The verdict on a cell. slack_seconds: so much later than it must be known it may be, on a busy machine."""
    case = _Case(cell, seen, cells.expected(cell, settings))
    if seen.problem:
        return Verdict((seen.problem,), named=False if case.wanted.at else None)
    if seen.struck_at is None:
        case.wrong.append("the fault did not strike")
    case.same("the run", seen.status, case.wanted.status.value)
    case.same("the environment", seen.state, case.wanted.state.value)
    case.same("the run that holds the environment", seen.live, None)
    case.same("what Redis still holds of the run", seen.left, ())
    named = _named(case)
    _known(case, cell.fault.known_seconds(settings) + slack_seconds)
    spans = spans_of(seen.log)
    overlaps = sum(1 for one, other in combinations(spans, 2) if one.start < other.last and other.start < one.last)
    case.same("the number of executions at one time", overlaps, 0)
    duplicates = _executions(case, spans)
    return Verdict(
        tuple(case.wrong),
        named,
        _seconds(seen.struck_at, seen.known_at) if case.wanted.at else None,
        _seconds(seen.struck_at, _recovered_at(case)),
        len(_of(spans, _name(cell, cell.index))),
        overlaps,
        duplicates,
    )


def _named(case: _Case) -> bool | None:
    """Whether the right step, kind and cause were named, and nothing else was."""
    wanted, seen = case.wanted, case.seen
    went_on = [event for event in seen.events if event["event"] in set(Why)]
    if case.same("how it went on", [event["event"] for event in went_on], [wanted.went_on] if wanted.went_on else []):
        case.same("where it went on", [event["step"] for event in went_on], [wanted.at] if wanted.went_on else [])
    said = {(each.step, each.kind, each.cause) for each in seen.said}
    told = {(wanted.at, *map(str, wanted.told))} if wanted.told else set()
    if case.cell.fault.action == "trace":
        case.same("what the traces say", said, set())
    else:
        case.same("what the traces say", said, told)
    final = seen.failure and (seen.failure.step, seen.failure.kind, seen.failure.cause)
    failed = wanted.status is not RunStatus.SUCCEEDED
    case.same("what the run says", final, next(iter(told)) if failed and told else None)
    if wanted.at is None:
        return None
    names = {event["step"] for event in went_on} | {each.step for each in seen.said}
    return names | ({seen.failure.step} if seen.failure else set()) == {wanted.at}


def _known(case: _Case, most: float) -> None:
    if not case.wanted.at:
        return
    seconds = _seconds(case.seen.struck_at, case.seen.known_at)
    if seconds is None:
        case.wrong.append("it was never known")
    elif seconds > most:
        case.wrong.append(f"it was known after {seconds:.1f} s, not within {most:.1f} s")


def _recovered_at(case: _Case) -> float | None:
    """When the run had ended badly, or the hit place had begun again."""
    if case.wanted.at is None or case.seen.struck_at is None:
        return None
    ends = "step-started" if case.wanted.went_on else "run-failed"
    later = [
        float(event["at"])
        for event in case.seen.events
        if event["event"] == ends
        and event["step"] == case.wanted.at
        and float(event["at"]) >= case.seen.struck_at - 0.05
    ]
    return min(later, default=None)


def _executions(case: _Case, spans: list[Span]) -> int:
    """Compare how often each step has run with what its policy allows; how often one ran that may not."""
    wanted, cell = case.wanted, case.cell
    hit = _of(spans, _name(cell, cell.index))
    case.same("how often the step began", len(hit), wanted.begun)
    done = sum(span.done for span in hit)
    if done > wanted.done:
        case.wrong.append(f"the step was done {done} times, not {wanted.done}")
    extra = max(0, len(hit) - wanted.begun)
    for index, name in enumerate(_names(cell), 1):
        if index == cell.index:
            continue
        least, most = _times(case, index)
        count = len(_of(spans, f"{cell.workflow}/{name}"))
        if not least <= count <= most:
            case.wrong.append(f"{name} ran {count} times, not {most}")
        extra += max(0, count - most)
    return extra


def _times(case: _Case, index: int) -> tuple[int, int]:
    """How often another step than the hit one may run."""
    if index < case.cell.index:
        return 1, 1
    if case.wanted.status is not RunStatus.SUCCEEDED:
        return 0, 0
    again = case.cell.fault.loss is Loss.NEXT and index == case.cell.index + 1
    return 1, 2 if again else 1


def _names(cell: Cell) -> Iterator[str]:
    return (step.name for step in WORKFLOWS[cell.workflow].steps)


def _name(cell: Cell, index: int) -> str:
    return f"{cell.workflow}/{list(_names(cell))[index - 1]}"


def _of(spans: list[Span], step: str) -> list[Span]:
    return [span for span in spans if span.step == step]


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, end - start)


def spans_of(log: tuple[str, ...]) -> list[Span]:
    """The executions in lines of `start STEP SCOPE PID AT`; later ones of each say `alive`, the last maybe `end`."""
    open_: dict[tuple[str, str, str], Span] = {}
    found: list[Span] = []
    for line in log:
        word, step, scope, pid, at = line.split()
        key = (step, scope, pid)
        if word == "start":
            open_[key] = Span(step, scope, float(at), float(at))
            found.append(open_[key])
        else:
            open_[key].last = float(at)
            open_[key].done = word == "end"
    return found
