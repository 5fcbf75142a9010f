"""Times and states in words."""

from __future__ import annotations

import pytest

from tasks.environment import State
from tasks.facts import PlanSummary
from tasks.failure import RunStatus
from tests.unit.workers.cli.test_outcomes import MARK, record, run
from workers.cli import words


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({"started_at": 130.0, "begun_at": 150.0}, 130.0),  # resumed since
        ({"started_at": None, "begun_at": 120.0}, 120.0),
        ({"started_at": None}, 100.0),
    ],
)
def test_when_a_run_began(times: dict[str, object], at: float) -> None:
    assert words.began(run(**times)) == at  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("note", "more"), [("", ""), ("call 2", ""), ("1 to add, …; it loses nothing", "; it loses nothing")]
)
def test_a_plan_says_what_its_step_said_beside_the_counts(note: str, more: str) -> None:
    assert words.planned(PlanSummary(add=1, change=0, destroy=1), note) == f"1 to add, 0 to change, 1 to destroy{more}"


def test_how_long_it_has_been_queued_may_stand_beside_it() -> None:
    queued = run(RunStatus.QUEUED, due_at=140.0)

    assert (words.status(queued), words.status(queued, timed=False)) == ("queued 1m", "queued")


@pytest.mark.parametrize(
    ("provider", "state", "summary", "next_"),
    [
        ("hetzner", State.CONFIGURED, "host: create", "`stepmark up` does it, and configures the host again"),
        ("hetzner", State.CONFIGURE_FAILED, "host: create", "`stepmark up` does it, and configures the host again"),
        ("hetzner", State.PROVISIONED, "host: create", "`stepmark provision` does it"),
        ("hetzner", State.CONFIGURED, "host: host 42 does not run", "start it at the provider, then"),
        ("sandbox", State.CONFIGURED, "host: host web-1 does not run", "`stepmark destroy web-1`, then `stepmark up"),
        ("hetzner", State.CONFIGURED, "host: the provider has no such host", "see by hand; `stepmark destroy web-1`"),
    ],
)
def test_what_is_to_be_done_about_drift(provider: str, state: State, summary: str, next_: str) -> None:
    mark = MARK.model_copy(update={"summary": summary})
    spec = f'{{"provider": {{"name": "{provider}"}}}}'

    assert next_ in words.mend_drift(record("web-1", state).model_copy(update={"drift": mark, "spec": spec}))
