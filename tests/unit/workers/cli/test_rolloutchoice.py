from __future__ import annotations

import pytest

from tests.unit.workers.cli.test_policywords import rollout
from workers.cli import rolloutchoice
from workers.cli.rolloutchoice import TO_CANCEL, TO_PAUSE, TO_RESUME, Meant
from workers.refusals import RefusedError
from workers.rolloutrecord import RolloutRecord, RolloutStatus

NIGHTLY = {"rollout": "r2", "trigger": "schedule nightly"}
RUNNING = rollout(status=RolloutStatus.RUNNING)
PAUSED = rollout(status=RolloutStatus.PAUSED, changed_by="the budget")
CANCELLED = rollout(status=RolloutStatus.CANCELLED)


def refusal(meant: Meant, *live: RolloutRecord) -> str:
    with pytest.raises(RefusedError) as caught:
        rolloutchoice.choose(live, meant)
    return str(caught.value)


@pytest.mark.parametrize("meant", [TO_PAUSE, TO_CANCEL])
def test_the_only_one_is_meant_whoever_began_it(meant: Meant) -> None:
    nightly = RUNNING.model_copy(update=NIGHTLY)

    assert rolloutchoice.choose([nightly], meant) == nightly
    assert rolloutchoice.choose([RUNNING], meant) == RUNNING


def test_to_resume_the_paused_one_is_meant_and_no_newer_one() -> None:
    nightly = PAUSED.model_copy(update=NIGHTLY)

    assert rolloutchoice.choose([RUNNING, CANCELLED, nightly], TO_RESUME) == nightly
    assert rolloutchoice.choose([RUNNING, nightly], TO_PAUSE) == RUNNING


def test_what_an_operator_began_is_not_preferred() -> None:
    """Somebody who is called about the other one would stop the wrong one."""
    nightly = RUNNING.model_copy(update=NIGHTLY)

    said = "several rollouts may be meant: r1 (up by anna@here, running), r2 (schedule nightly, running)"
    assert refusal(TO_PAUSE, RUNNING, nightly) == said


def test_a_cancelled_one_whose_runs_go_on_can_be_meant_again() -> None:
    assert rolloutchoice.choose([CANCELLED], TO_CANCEL) == CANCELLED
    assert refusal(TO_CANCEL, CANCELLED, PAUSED.model_copy(update=NIGHTLY)) == (
        "several rollouts may be meant: r1 (up by anna@here, cancelled), r2 (schedule nightly, paused)"
    )


@pytest.mark.parametrize("meant", [TO_RESUME, TO_CANCEL])
def test_one_that_is_being_written_down_is_not_meant(meant: Meant) -> None:
    drafted = rollout(status=RolloutStatus.PAUSED, reason="it is being written down")

    assert refusal(meant, drafted) == f"{meant.none}; r1 (up by anna@here) is paused: it is being written down"


def test_where_none_is_meant_it_is_said_what_there_is() -> None:
    assert refusal(TO_RESUME) == "no rollout is paused"
    assert refusal(TO_RESUME, RUNNING) == "no rollout is paused; r1 (up by anna@here) is running"
    assert refusal(TO_CANCEL) == "no rollout goes on"
