from __future__ import annotations

from typing import Any

import pytest

from config.rollout import Budget, Canary, Limit, Policy
from tasks.context import Options
from workers.cli import policywords
from workers.rolloutrecord import RolloutRecord, RolloutStatus, Rule

POLICY = Policy(
    max_parallel=50,
    per_provider={"hetzner": 10, "lxd": 2},
    canary=Canary(size="5%"),
    batch="20%",
    budget=Budget(failures=25, limits=(Limit(step="opentofu-apply", kind="quota", failures=1), Limit(failures="2%"))),
    deadline="90m",
)


def rollout(**changes: Any) -> RolloutRecord:
    values: dict[str, Any] = {"rollout": "r1", "schema_version": 1, "verb": "up", "user": "anna@here", "total": 200}
    values |= {"trigger": "up by anna@here", "options": Options(), "status": RolloutStatus.RUNNING, "created_at": 0.0}
    values |= {"wave": 1, "wave_end": 200, "max_parallel": 50, "providers": ("lxd",), "per_provider": {}}
    return RolloutRecord(**{**values, "live_of": {}, "rules": (), "used": (), **changes})


def test_a_policy_whose_amounts_are_parts() -> None:
    assert policywords.whole(POLICY) == (
        "50 at a time; at most 10 of hetzner, 2 of lxd; 5% first as a canary, then a pause; in batches of 20%; "
        "25 failures tolerated; 1 failure at opentofu-apply of kind quota tolerated; failures of 2% tolerated; "
        "nothing new after 90m"
    )


def test_a_rollout_in_numbers() -> None:
    rules = (Rule(failures=25), Rule(step="opentofu-apply", kind="quota", failures=1))
    record = rollout(
        per_provider={"lxd": 2}, canary=10, canary_then="go-on", batch=40, rules=rules, deadline_seconds=5400.0
    )

    assert policywords.whole(record) == (
        "50 at a time; at most 2 of lxd; 10 first as a canary, then on if all is well; in batches of 40; "
        "25 failures tolerated; 1 failure at opentofu-apply of kind quota tolerated; nothing new after 1h 30m"
    )


def test_what_is_not_said_is_left_out() -> None:
    assert (policywords.whole(Policy()), policywords.whole(rollout())) == ("100 at a time", "50 at a time")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("max_parallel", "100 at a time -> 50 at a time"),
        ("per_provider", "no limit by provider -> at most 10 of hetzner, 2 of lxd"),
        ("canary", "no canary -> 5% first as a canary, then a pause"),
        ("batch", "no batches -> in batches of 20%"),
        ("deadline", "no deadline -> nothing new after 90m"),
    ],
)
def test_what_changes(field: str, words: str) -> None:
    assert policywords.changed(field, Policy(), POLICY) == words


def test_every_field_has_words() -> None:
    assert set(policywords.fields(POLICY)) == set(policywords.fields(rollout())) == set(Policy.model_fields)
    assert policywords.changed("budget", POLICY, Policy()).endswith(" -> no budget")
