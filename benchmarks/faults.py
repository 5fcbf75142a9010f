"""Every way to die at every step of every workflow: `python benchmarks/faults.py --write docs/faults.md`.

Exit status 1: a cell is wrong. What goes on is said on standard error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import cells, matrix, table

MARK = "<!-- What follows is written by benchmarks/faults.py. -->"


def main() -> int:
    """Try it, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fault", action="append", help="only this fault, by its short name; again for more")
    parser.add_argument("--workflow", action="append", help="only the steps of this workflow; again for more")
    parser.add_argument("--sample", type=int, metavar="SEED", help="only the sample of this seed, as the tests try it")
    parser.add_argument("--at-once", type=int, default=2, help="groups of cells that are tried side by side")
    parser.add_argument("--keep", type=Path, help="a new folder for logs and for what was seen")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, after its mark")
    asked = parser.parse_args()
    chosen = [
        cell
        for cell in (cells.all_cells() if asked.sample is None else cells.sample(asked.sample))
        if (not asked.fault or cell.fault.name in asked.fault)
        and (not asked.workflow or cell.workflow in asked.workflow)
    ]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stepmark-faults-") as folder:
        place = asked.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        verdicts = matrix.tried(place, chosen, at_once=asked.at_once, say=_say)
    text = "\n".join(table.lines(verdicts))
    print(text)
    if asked.write:
        asked.write.write_text(f"{asked.write.read_text().partition(MARK)[0]}{MARK}\n\n{text}\n")
    _say(f"{len(verdicts)} cells in {time.monotonic() - began:.0f} s")
    return 0 if all(verdict.right for verdict in verdicts.values()) else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
