"""Others, and what they know of a killed step: `python benchmarks/peers.py --write docs/benchmarks/peers.md`.

The same 13 empty steps in order, two processes each, on one machine. Each peer is installed by pip into an environment
of its own under ~/.cache. One that cannot be is named, with the reason. What goes on is said on standard error.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.kernel import peers, place, postgres, shape
from benchmarks.kernel.peers import Answer, Peer, Rate

_POSTGRES = "PostgreSQL"
_REDIS = "Redis, AOF everysec"
_SERVER = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", "4286")
PEERS = (
    Peer("Stepmark", "stepmark", (), 150, _REDIS),
    Peer("celery-director", "director", ("celery-director>=0.10", "psycopg2-binary"), 20, f"{_POSTGRES}; {_REDIS}"),
    Peer("Prefect", "prefect", ("prefect>=3,<4", "asyncpg"), 6, f"its server, {_POSTGRES}", _SERVER),
    Peer("TaskFlow", "taskflow", ("taskflow>=6", "sqlalchemy-utils", "alembic", "psycopg2-binary"), 40, _POSTGRES),
    # Version 3.0.0 left jobs that others depend on deferred for ever, about a third of them.
    Peer("RQ", "rq", ("rq>=2,<3",), 20, _REDIS),
    Peer("Dramatiq", "dramatiq", ("dramatiq[redis]>=1",), 150, _REDIS),
    Peer("bare chain in Celery", "celery", (), 150, f"results kept; {_REDIS}"),
)
_KILLED_AFTER = (0.0, 5.0)
_COLUMNS = (
    *("", "kept in", "steps/s", "Stepmark to it"),
    *("killed at once: names the step", "killed 5 s into it: names the step", "says then", "30 s later"),
)


@dataclass
class Found:
    """What was measured of a peer. wrong: why it could not be."""

    version: str = ""
    rates: list[Rate] = field(default_factory=list)
    answers: tuple[Answer, ...] = ()
    wrong: str = ""


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--peer", action="append", help="only this one beside Stepmark, by its program; again for more")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--venvs", type=Path, default=Path("~/.cache/stepmark-benchmarks").expanduser())
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page, after its mark")
    asked = parser.parse_args()
    chosen = [peer for peer in PEERS if not asked.peer or peer.program in ("stepmark", *asked.peer)]
    with place.opened() as (folder, client), postgres.running() as database:
        where = peers.Place(folder, client, database, asked.venvs)
        found = _measured(where, chosen, 1 if asked.quick else asked.rounds)
        text = "\n".join(_lines(found, place.machine(client), database))
    print(text)
    if asked.write:
        place.write(asked.write, "benchmarks/peers.py", text)
    return 0


def _measured(where: peers.Place, chosen: Sequence[Peer], rounds: int) -> dict[Peer, Found]:
    found = {peer: Found(wrong=where.install(peer)) for peer in chosen}
    for number in range(rounds):
        for peer, so_far in found.items():
            if not so_far.wrong:
                _measure(where, peer, so_far, last=number == rounds - 1)
    return found


def _measure(where: peers.Place, peer: Peer, found: Found, *, last: bool) -> None:
    """Measure once; kill it in the last round. A peer that does not run is no reason to measure no other."""
    try:
        found.version = found.version or where.version(peer)
        found.rates.append(where.rate(peer))
        print(f"{peer.name}: {found.rates[-1]}", file=sys.stderr)
        if last:
            found.answers = tuple(where.killed(peer, seconds) for seconds in _KILLED_AFTER)
            print(f"{peer.name}: {found.answers}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        found.wrong = f"it does not run: {(error.stderr or str(error)).strip().splitlines()[-1]}"
    except (AssertionError, OSError) as error:
        found.wrong = f"it does not run: {error}"
    if found.wrong:
        print(f"{peer.name}: {found.wrong}", file=sys.stderr)


def _lines(found: dict[Peer, Found], machine: str, database: str | None) -> Iterator[str]:
    ours = _rate(found[PEERS[0]])
    yield f"{machine}; two processes each. Medians.\n"
    if database is None:
        yield f"There is no {_POSTGRES} on this machine: the peers that would have it had SQLite.\n"
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for peer, of in found.items():
        yield f"| {' | '.join(_cells(peer, of, ours))} |"


def _rate(found: Found) -> float:
    return statistics.median([each.steps_a_second for each in found.rates] or [0.0])


def _named(answer: Answer) -> str:
    if answer.seconds is None:
        return "no"
    return "yes" if answer.seconds == 0 else f"after {answer.seconds:.0f} s"


def _cells(peer: Peer, found: Found, ours: float) -> tuple[str, ...]:
    if found.wrong or not found.answers:
        return (found.version or peer.name, peer.setup, found.wrong, *[""] * (len(_COLUMNS) - 3))
    rate, last = _rate(found), found.answers[-1]
    left = max(each.left for each in found.rates)
    steps = f"{rate:.0f}" + (f"; {left} of {peer.workflows * len(shape.STEPS)} steps never ran" if left else "")
    said = (f"`{words}`" if words else "nothing" for words in (last.at_once, last.later))
    return (found.version, peer.setup, steps, f"{ours / rate:.1f}", *map(_named, found.answers), *said)


if __name__ == "__main__":
    sys.exit(main())
