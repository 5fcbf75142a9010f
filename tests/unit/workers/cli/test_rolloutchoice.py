from __future__ import annotations

from typing import cast

import pytest

from tests.unit.workers.cli.test_policywords import rollout
from workers.cli import rolloutchoice
from workers.refusals import RefusedError
from workers.rolloutrecord import RolloutRecord, RolloutStatus
from workers.rolloutstore import RolloutStore

RUNNING = rollout(status=RolloutStatus.RUNNING)
PAUSED = rollout(status=RolloutStatus.PAUSED, changed_by="the budget")
CANCELLED = rollout(status=RolloutStatus.CANCELLED)
NIGHTLY = RUNNING.model_copy(update={"rollout": "r2", "trigger": "schedule nightly"})
DRAFTED = rollout(status=RolloutStatus.PAUSED, reason="it is being written down")


class Kept:
    """Stands in for the store."""

    def __init__(self, *live: RolloutRecord, others: tuple[str, ...] = ()) -> None:
        self.live = lambda: live
        self.of_other_versions = lambda: others


def choose(*live: RolloutRecord, others: tuple[str, ...] = ()) -> RolloutRecord:
    return rolloutchoice.choose(cast("RolloutStore", Kept(*live, others=others)))


@pytest.mark.parametrize("only", [RUNNING, PAUSED, CANCELLED, NIGHTLY])
def test_the_only_one_is_meant_whoever_began_it_and_whatever_it_does(only: RolloutRecord) -> None:
    assert choose(only, DRAFTED) == only


@pytest.mark.parametrize("mine", [RUNNING, PAUSED, CANCELLED])
def test_of_several_none_is_meant_for_whoever_says_it_twice_would_hit_another_one(mine: RolloutRecord) -> None:
    with pytest.raises(RefusedError) as caught:
        choose(mine, NIGHTLY)

    several = f"r1 (up by anna@here, {mine.status.value}), r2 (schedule nightly, running)"
    assert str(caught.value) == f"several rollouts may be meant: {several}"


def test_what_another_version_keeps_may_be_meant_too() -> None:
    with pytest.raises(RefusedError, match=r"r9 \(kept by another version\)"):
        choose(RUNNING, others=("r9",))
    with pytest.raises(RefusedError, match=r"no rollout goes on; r9 \(kept by another version\)"):
        choose(others=("r9",))


def test_where_there_is_none_it_is_said() -> None:
    with pytest.raises(RefusedError, match=r"^no rollout goes on$"):
        choose(DRAFTED)
