from __future__ import annotations

from typing import Any

import pytest
import typer

from config.rollout import Budget, Canary, Limit, Policy
from workers.cli.policy import OnwardFlags, PolicyFlags

FILE = Policy(max_parallel=9, canary=Canary(size=1), budget=Budget(failures=3), deadline="1h")


def test_nothing_said_is_the_file() -> None:
    assert not PolicyFlags().given
    assert PolicyFlags().over(FILE) == FILE


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ({"max_parallel": 4}, {"max_parallel": 4}),
        ({"per_provider": ["hetzner=10", "lxd=2"]}, {"per_provider": {"hetzner": 10, "lxd": 2}}),
        ({"canary": "5%"}, {"canary": Canary(size="5%")}),
        ({"canary_then": "go-on"}, {"canary": Canary(size=1, then="go-on")}),
        ({"batch": "20"}, {"batch": 20}),
        ({"deadline": "2h30m"}, {"deadline": "2h30m"}),
        ({"budget": ["5"]}, {"budget": Budget(failures=5)}),
        ({"budget": ["quota=1"]}, {"budget": Budget(limits=(Limit(kind="quota", failures=1),))}),
        (
            {"budget": ["10%", "opentofu-apply/quota=1", "opentofu-init=2"]},
            {
                "budget": Budget(
                    failures="10%",
                    limits=(
                        Limit(step="opentofu-apply", kind="quota", failures=1),
                        Limit(step="opentofu-init", failures=2),
                    ),
                )
            },
        ),
    ],
)
def test_what_is_said_takes_its_place(said: dict[str, Any], changes: dict[str, Any]) -> None:
    assert PolicyFlags(**said).given
    assert PolicyFlags(**said).over(FILE) == FILE.model_copy(update=changes)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"budget": ["quotta=1"]}, "'quotta' is no step and no kind"),
        ({"budget": ["quota/timeout=1"]}, "'timeout' is no step and no kind"),
        ({"budget": ["many"]}, "budget"),
        ({"budget": ["1", "2"]}, "one number for all failures is enough"),
        ({"per_provider": ["hetzner"]}, "'hetzner' is not NAME=N"),
        ({"batch": "-1"}, "batch"),
        ({"canary": "1", "canary_then": "wait"}, "canary"),
        ({"deadline": "soon"}, "an interval"),
    ],
)
def test_what_cannot_be_used_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        PolicyFlags(**said).over(FILE)

    assert words in f"{caught.value.param_hint} {caught.value}"


def test_without_a_canary_nothing_follows_it() -> None:
    with pytest.raises(typer.BadParameter, match="there is no canary"):
        PolicyFlags(canary_then="pause").over(Policy())


def test_what_changes_of_a_paused_rollout_is_what_was_said() -> None:
    said = OnwardFlags(max_parallel=4, per_provider=["lxd=2"], budget=["quota=1"], deadline="2h")

    budget = Budget(limits=(Limit(kind="quota", failures=1),))
    assert said.policy() == Policy(max_parallel=4, per_provider={"lxd": 2}, budget=budget, deadline="2h")
    assert OnwardFlags().policy() == Policy()


@pytest.mark.parametrize("amount", ["0", "0%"])
def test_a_canary_or_batch_of_nothing_is_none(amount: str) -> None:
    found = PolicyFlags(canary=amount, batch=amount).over(FILE)

    assert (found.canary, found.batch) == (None, None)
