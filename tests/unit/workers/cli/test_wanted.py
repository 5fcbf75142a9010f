"""Which environments are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from tests.unit.workers.cli.test_summary import AT, row
from workers.cli import wanted
from workers.cli.wanted import Wanted
from workers.overview import Overview

ALL = Wanted((), frozenset(), frozenset(), frozenset(), frozenset(), {})
ROWS = (
    row(1, "configured", "succeeded", ended_at="910.0"),
    row(2, "provisioning", "running"),
    row(3, "provision-failed", "failed", kind="timeout", ended_at="940.0"),
    row(4, "provision-failed", "failed", kind="quota", step="one", ended_at="950.0"),
    row(5, "created"),
)
SPECS = {"web-3": {"groups": ["web"], "labels": {"tier": "1"}}, "web-4": {"groups": ["web"], "labels": {"tier": "2"}}}


def look(asked: Wanted) -> list[str]:
    """The environments that are found, in a fleet whose specifications are asked for only if need be."""

    def declared(names: Sequence[str]) -> Mapping[str, Any]:
        return {name: SPECS[name] for name in names if name in SPECS}

    overviews = SimpleNamespace(read=lambda _: Overview(AT, ROWS, {}, 1, "", (), frozenset()), declared=declared)
    return [found.environment for found in asked.look(overviews).rows]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["web-1", "web-2", "web-3", "web-4", "web-5"]),
        ({"states": {"provision-failed"}}, ["web-3", "web-4"]),
        ({"states": {"running", "created"}}, ["web-2", "web-5"]),
        ({"steps": {"two"}}, ["web-2", "web-3"]),
        ({"kinds": {"quota", "timeout"}, "steps": {"one"}}, ["web-4"]),
        ({"groups": {"web", "db"}}, ["web-3", "web-4"]),
        ({"groups": {"web"}, "labels": {"tier": "2"}}, ["web-4"]),
        ({"labels": {"tier": "3"}}, []),
    ],
    ids=lambda what: ",".join(map(str, what)) if isinstance(what, list) else " ".join(what) or "nothing",
)
def test_what_is_given_narrows(given: dict[str, Any], names: list[str]) -> None:
    asked = Wanted(**(vars(ALL) | given))

    assert look(asked) == names
    assert asked.everything == (not given)


def test_a_state_that_there_is_not() -> None:
    assert wanted.states(["lost", "configured"]) == {"lost", "configured"}
    with pytest.raises(typer.BadParameter, match="'broken' is no state; known: created, provisioning"):
        wanted.states(["broken"])
