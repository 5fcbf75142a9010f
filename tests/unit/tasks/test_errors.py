"""Errors cross processes: every one can be pickled, and says one line."""

from __future__ import annotations

import pickle

import pytest

import tasks.workflows  # noqa: F401 - it imports every module that has errors
import workers.cli.main  # noqa: F401 - the same
from tasks.errors import Kind, StepmarkError
from tasks.failure import RULES, usual_cause


def classes(root: type[StepmarkError]) -> list[type[StepmarkError]]:
    """The class and all below it."""
    return [root, *(found for below in root.__subclasses__() for found in classes(below))]


ERRORS = [error for error in classes(StepmarkError) if not error.__module__.startswith("tests.")]
ARGUMENTS = ("it is wrong", "second", 3, "fourth", "fifth")


def make(error: type[StepmarkError]) -> StepmarkError:
    """An error of the class, with as many arguments as it takes."""
    for count in range(len(ARGUMENTS), -1, -1):
        try:
            return error(*ARGUMENTS[:count])
        except TypeError:
            continue
    raise AssertionError(f"{error} takes none of these")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_it_survives_a_pickle(error: type[StepmarkError]) -> None:
    made = make(error)

    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own

    assert (type(again), again.args, vars(again), str(again)) == (type(made), made.args, vars(made), str(made))
    assert "\n" not in str(made)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_its_kind_has_a_rule(error: type[StepmarkError]) -> None:
    assert isinstance(error.kind, Kind)
    assert (usual_cause(error.kind), error.kind) in RULES
