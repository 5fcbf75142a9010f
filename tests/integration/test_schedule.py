"""Schedules in Redis: applied, changed, paused, removed."""

from __future__ import annotations

import pytest

from config.rollout import Policy
from tests.integration.conftest import spec
from tests.integration.scheduled import HOUR, applied, dealt_with, declared
from workers.firing import Firings
from workers.pause import Pause
from workers.refusals import NotFoundError, RefusedError
from workers.runtime import Base
from workers.schedule import Change, Changes, Schedules


def test_what_is_applied_is_kept_with_what_it_selects(kept: Schedules, base: Base) -> None:
    specs = (spec("web-1"), spec("web-2", tier="db"))
    at = base.now()

    kept.apply(declared(), specs, "anna@here", at)

    (found,) = kept.all()
    assert found == kept.find("nightly")
    assert (found.schedule, found.environments, found.applied_by) == (declared(), ("web-1", "web-2"), "anna@here")
    assert kept.specs("nightly") == specs
    assert found.next_at == int(at) + HOUR
    assert kept.changes(found, declared(), specs) == Changes()


def test_what_would_change_is_named(kept: Schedules, base: Base) -> None:
    kept.apply(declared(), (spec("web-1"), spec("web-2"), spec("web-3")), "anna@here", base.now())

    found = kept.changes(
        kept.find("nightly"),
        declared(every=None, cron="0 3 * * *", overlap="queue"),
        (spec("web-1"), spec("web-2", tier="db"), spec("web-4")),
    )

    assert found == Changes(
        (Change("every", "1h", None), Change("cron", None, "0 3 * * *"), Change("overlap", "skip", "queue")),
        ("~ web-2", "+ web-4", "- web-3"),
    )


def test_how_its_rollouts_go_is_kept_too(kept: Schedules, base: Base) -> None:
    """One that an older version has applied goes as a rollout does of which nothing is said."""
    specs, policy = (spec("web-1"),), Policy.model_validate({"max_parallel": 5, "budget": {"failures": "5%"}})
    kept.apply(declared(), specs, "anna@here", base.now(), policy)
    found = kept.find("nightly")
    base.client.hdel(base.keys.schedule("nightly"), "policy")

    assert (found.policy, kept.changes(found, declared(), specs, policy)) == (policy, Changes())
    assert kept.changes(found, declared(), specs).fields == (
        Change("rollout.max_parallel", 5, 100),
        Change("rollout.budget", {"failures": "5%", "limits": []}, {"failures": None, "limits": []}),
    )
    assert kept.find("nightly").policy == Policy()


def test_another_selection_leaves_the_times_as_they_are(kept: Schedules, base: Base) -> None:
    at = base.now() - 0.5 * HOUR
    kept.apply(declared(), (spec("web-1"),), "anna@here", at)

    kept.apply(declared(overlap="allow"), (spec("web-2"),), "anna@here", base.now())
    same = kept.find("nightly").next_at
    kept.apply(declared(every="2h"), (spec("web-2"),), "anna@here", base.now())

    assert same == int(at) + HOUR
    assert kept.find("nightly").next_at == pytest.approx(base.now() + 2 * HOUR, abs=60)


def test_a_paused_schedule_stays_so_when_it_is_applied(kept: Schedules, base: Base) -> None:
    kept.apply(declared(), (spec("web-1"),), "anna@here", base.now())
    pause = Pause(by="anna@here", reason="a freeze", at=base.now())

    kept.pause(kept.find("nightly"), pause)
    kept.apply(declared(every="2h"), (spec("web-1"),), "anna@here", base.now())
    paused = kept.find("nightly")
    kept.unpause(paused, base.now() + 100 * HOUR)

    assert (paused.paused, paused.next_at) == (pause, None)
    assert kept.find("nightly").paused is None
    assert kept.find("nightly").next_at == pytest.approx(base.now() + 101 * HOUR, abs=2 * HOUR)


def test_nothing_is_left_of_what_is_removed(kept: Schedules, base: Base, firings: Firings) -> None:
    due = applied(base)
    dealt_with(firings, due)
    before = set(base.client.keys("*nightly*"))

    kept.remove("nightly")

    assert base.keys.beat_entry("nightly") in before
    assert set(base.client.keys("*nightly*")) == {base.keys.firing("nightly", due.mark)}  # for an hour
    assert kept.names() == ()
    with pytest.raises(NotFoundError):
        kept.find("nightly")


def test_what_another_version_has_applied_is_said_to_be_so(kept: Schedules, base: Base) -> None:
    kept.apply(declared(), (spec("web-1"),), "anna@here", base.now())
    base.client.hset(base.keys.schedule("nightly"), "schedule", '{"name": "nightly", "wobble": 1}')

    with pytest.raises(RefusedError, match="schedule nightly was applied by another version"):
        kept.find("nightly")
