"""What OpenSSH 9.2's client said, word by word, and what it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.adapters import ssh_outcomes
from tasks.adapters.ssh_outcomes import Attempt, Outcome

CASES = sorted((Path(__file__).parents[3] / "cases" / "ssh").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_classify(path: Path) -> None:
    case = json.loads(path.read_text())

    found = ssh_outcomes.classify(case["exit_status"], "\n".join(case["stderr"]))

    assert found == Attempt(Outcome(case["outcome"]), case["detail"])


def test_every_outcome_has_a_case_and_every_failure_an_error() -> None:
    outcomes = {Outcome(json.loads(path.read_text())["outcome"]) for path in CASES}

    assert outcomes == set(Outcome)
    assert set(ssh_outcomes.ERRORS) == set(Outcome) - {Outcome.OK}
