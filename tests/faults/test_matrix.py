"""The fault matrix. By default a sample of it: every fault, every step; with STEPMARK_TEST_FAULTS=all every cell."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping

import pytest

from tasks import workflows
from tasks.sandbox import ladder
from tests.faults import cells, matrix, table
from tests.faults.catalogue import FAULTS
from tests.faults.cells import Cell
from tests.faults.judge import Verdict

pytestmark = pytest.mark.skipif(ladder.look().kind is None, reason="this machine can make no sandbox host")


def _seed() -> int:
    """Another sample each day; STEPMARK_TEST_SEED tries the one of another day."""
    return int(os.environ.get("STEPMARK_TEST_SEED") or datetime.datetime.now(datetime.UTC).date().toordinal())


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Cell, Verdict]:
    """What came of the cells; groups are tried side by side, so all at once."""
    everything = os.environ.get("STEPMARK_TEST_FAULTS") == "all"
    chosen = cells.all_cells() if everything else cells.sample(_seed())
    folder = tmp_path_factory.mktemp("faults")
    return matrix.tried(folder, chosen, at_once=3, say=print)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_every_cell_is_right(fault: object, verdicts: Mapping[Cell, Verdict]) -> None:
    found = {cell: verdict for cell, verdict in verdicts.items() if cell.fault is fault}

    assert found
    assert {cell.environment: verdict.wrong for cell, verdict in found.items() if not verdict.right} == {}, (
        f"seed {_seed()}"
    )


def test_every_step_was_tried(verdicts: Mapping[Cell, Verdict]) -> None:
    assert {(cell.workflow, cell.index) for cell in verdicts} == set(cells.places())


def test_nothing_runs_twice_and_every_right_step_is_named(verdicts: Mapping[Cell, Verdict]) -> None:
    assert sum(verdict.overlaps + verdict.duplicates for verdict in verdicts.values()) == 0
    assert {verdict.named for verdict in verdicts.values()} == {True, None}


def test_the_tables_say_all(verdicts: Mapping[Cell, Verdict]) -> None:
    text = "\n".join(table.lines(verdicts, matrix.settings()))

    for fault in FAULTS:
        assert text.count(f"| {fault.title} |") == 1 + len(workflows.WORKFLOWS)
