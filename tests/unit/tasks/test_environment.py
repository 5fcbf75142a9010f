"""The states and the table of moves."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies

from tasks import environment
from tasks.environment import MOVES, State
from tasks.workflows import WORKFLOWS

LIVE = {State.PROVISIONING, State.REGISTERING, State.CONFIGURING, State.DESTROYING, State.CHECKING}


def test_every_state_is_in_the_table() -> None:
    assert set(MOVES) == set(State)


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_but_created_can_be_reached(state: State) -> None:
    assert (environment.sources(state) == ()) is (state is State.CREATED)


@pytest.mark.parametrize("state", sorted(set(State) - LIVE - {State.DESTROYED}))
def test_without_a_live_run_all_can_be_destroyed(state: State) -> None:
    assert State.DESTROYING in MOVES[state]


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))
def test_each_workflow_moves_by_the_table(workflow) -> None:
    """From where it may start, over its running state, to where it ends; and again from where it failed."""
    assert environment.sources(workflow.running)
    for end in filter(None, (workflow.done, workflow.failed)):
        assert end in MOVES[workflow.running]
    if workflow.failed:
        assert workflow.running in MOVES[workflow.failed]


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_live_state_moves_only_to_the_ends_of_its_workflows(state: State) -> None:
    ends = {end for each in WORKFLOWS.values() if each.running is state for end in (each.done, each.failed) if end}
    back = set(environment.sources(state)) if state is State.CHECKING else set()

    assert MOVES[state] == ends | back


@given(walk=strategies.lists(strategies.integers(min_value=0), max_size=40))
def test_whatever_happened_an_environment_can_be_destroyed(walk: list[int]) -> None:
    """From wherever a walk by the table ends: once the live run has ended, one destroy leads to destroyed."""
    state = State.CREATED
    for choice in walk:
        state = sorted(MOVES[state])[choice % len(MOVES[state])]
    if state in LIVE:
        state = min(MOVES[state])

    assert state is State.DESTROYED or State.DESTROYED in MOVES[State.DESTROYING]
    assert state is State.DESTROYED or State.DESTROYING in MOVES[state]
