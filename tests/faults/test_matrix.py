"""The fault matrix. By default a sample of it: every fault, every step; with STEPMARK_TEST_ALL every cell."""

from __future__ import annotations

import datetime
import math
import os
from pathlib import Path

import pytest

from tasks.sandbox import ladder
from tests.faults import cells, matrix
from tests.faults.catalogue import FAULTS
from tests.support import THOROUGH


def _seed() -> int:
    """Another sample each day; STEPMARK_TEST_SEED tries the one of another day."""
    return int(os.environ.get("STEPMARK_TEST_SEED") or datetime.datetime.now(datetime.UTC).date().toordinal())


def test_every_cell_is_right(tmp_path: Path) -> None:
    """One test, for the cells share workers and are tried side by side. How soon each is known is for the benchmark."""
    if ladder.look().kind is None:
        pytest.skip("this machine can make no sandbox host")
    chosen = cells.all_cells() if THOROUGH else cells.sample(_seed())

    verdicts = matrix.tried(tmp_path, chosen, at_once=3, say=print, slack_seconds=math.inf)

    wrong = {cell.environment: verdict.wrong for cell, verdict in verdicts.items() if not verdict.right}
    assert wrong == {}, f"seed {_seed()}"
    assert {(cell.workflow, cell.index) for cell in verdicts} == set(cells.places())
    assert {cell.fault for cell in verdicts} == set(FAULTS)
    assert sum(verdict.overlaps + verdict.duplicates for verdict in verdicts.values()) == 0
    assert {verdict.named for verdict in verdicts.values()} == {True, None}
