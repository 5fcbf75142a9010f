"""What tracking costs: `python benchmarks/tracking.py --write docs/benchmarks/tracking.md`.

The same 13 empty steps as a bare chain in Celery and tracked, in the same pool, by turns. What goes on is said on
standard error.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.kernel import place
from benchmarks.kernel.gauge import Cost
from benchmarks.kernel.trial import Contender, Ground

Costs = Mapping[Contender, Sequence[Cost]]

_NAMES = {"": "Stepmark", "results": "bare chain, results kept", "ignored": "bare chain, results ignored"}
_COLUMNS = (
    *("", "steps/s", "to kept", "to ignored", "CPU a step, ms", "of it Redis", "to kept", "to ignored"),
    *("round trips", "kB"),
)


def contenders(*, events: bool) -> tuple[Contender, ...]:
    """Who is measured."""
    return tuple(Contender(name, "bare" if kind else "emptied", kind, events) for kind, name in _NAMES.items())


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    parser.add_argument("--chains", type=int, default=200, help="how many times 13 steps are done each time")
    parser.add_argument("--pool", choices=("prefork", "threads"), default="prefork")
    parser.add_argument("--slots", type=int, default=2, help="processes or threads of the pool")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 60, without Flower's events")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, after its mark")
    asked = parser.parse_args()
    rounds, chains = (3, 60) if asked.quick else (asked.rounds, asked.chains)
    every = [*contenders(events=False), *(() if asked.quick else contenders(events=True))]
    with place.opened() as (folder, client):
        costs = _measured(Ground(folder, client, asked.pool, asked.slots, chains), every, rounds)
        machine = place.machine(client)
    text = "\n".join(
        _lines(costs, f"{asked.pool}, {asked.slots} slots; {rounds} rounds of {chains} chains of 13 steps", machine)
    )
    print(text)
    if asked.write:
        place.write(asked.write, "benchmarks/tracking.py", text)
    return 0


def _measured(ground: Ground, every: Sequence[Contender], rounds: int) -> Costs:
    """In turn; every second round the other way round, for a machine that becomes slower or quicker meanwhile."""
    costs: dict[Contender, list[Cost]] = {contender: [] for contender in every}
    for number in range(rounds):
        for contender in every if number % 2 == 0 else reversed(every):
            cost = ground.run(contender)
            costs[contender].append(cost)
            events = " with events" if contender.events else ""
            print(f"{number + 1}/{rounds} {contender.name}{events}: {cost.steps_a_second:.0f} steps/s", file=sys.stderr)
    return costs


def _lines(costs: Costs, what: str, machine: str) -> Iterator[str]:
    yield f"{machine}; {what}. Medians; the ratios are the medians of each round's."
    for events in (False, True):
        chosen = {contender.kind: found for contender, found in costs.items() if contender.events is events}
        if chosen:
            yield f"\n## Flower's events {'on' if events else 'off'}\n"
            yield f"| {' | '.join(_COLUMNS)} |"
            yield "|---" * len(_COLUMNS) + "|"
            yield from (_row(kind, chosen) for kind in chosen)


def _row(kind: str, costs: Mapping[str, Sequence[Cost]]) -> str:
    def middle(name: str, digits: int) -> str:
        return f"{statistics.median(getattr(cost, name) for cost in costs[kind]):.{digits}f}"

    def beside(other: str, name: str) -> str:
        pairs = zip(costs[kind], costs[other], strict=True)
        return f"{statistics.median(getattr(one, name) / getattr(two, name) for one, two in pairs):.2f}"

    cells = (
        _NAMES[kind],
        *(middle("steps_a_second", 0), beside("results", "steps_a_second"), beside("ignored", "steps_a_second")),
        *(middle("milliseconds", 2), middle("redis_milliseconds", 2)),
        *(beside("results", "milliseconds"), beside("ignored", "milliseconds")),
        *(middle("round_trips", 1), middle("kilobytes", 1)),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
