"""Apply after an apply that was cut off: no second host, and none that no state knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks import errors
from tasks.context import Options, StepContext
from tasks.facts import Facts
from tasks.providers.base import Found
from tasks.steps import tofu
from tests.unit.tasks.adapters.test_tofu import APPLY, PLAN
from tests.unit.tasks.commands import Answer
from tests.unit.tasks.steps.test_tofu import Bench, bench

__all__ = ["bench"]

CREATED = '{"changes":{"add":1,"change":0,"remove":0,"operation":"apply"},"type":"change_summary"}'
KNOWN = '{"serial": 3, "resources": [{"mode": "managed", "type": "terraform_data", "name": "host", "instances": [{}]}]}'
PULL = "tofu state pull"
IMPORT = "tofu import -input=false -no-color -lock-timeout=10s terraform_data.host 42"


def cut_off(bench: Bench, state: str, **options: bool) -> StepContext:
    """The step's context after an apply that was cut off, while the store has this state."""
    (bench.context.workspace / "plan.tfplan").write_text("saved before")
    bench.commands.script |= {
        PULL: Answer(state),
        PLAN: Answer(files={"plan.tfplan": "fresh"}, exit_status=2),
        APPLY: Answer(CREATED),
        IMPORT: Answer(),
    }
    return replace(bench.context, uncertain=True, options=Options(**options))


def asked(bench: Bench) -> list[str]:
    """What OpenTofu was asked for, from the first look at the state to the apply."""
    verbs = [text.split(" -")[0] for text in bench.commands.texts]
    return verbs[verbs.index(PULL) : verbs.index("tofu apply") + 1]


@pytest.mark.parametrize(
    ("state", "found", "adopted", "seen"),
    [
        (KNOWN, errors.CannotFindError("existing"), [], "the earlier apply had made the host"),
        ("", None, [], "the earlier apply had made no host"),
        ("", Found("192.0.2.7", "42"), ["tofu import"], "host 42 of the earlier apply was taken over"),
        ("", Found("192.0.2.7", "42", importable=False), [], "host 42 of the earlier apply was taken over"),
    ],
    ids=["state knows it", "there is none", "imported", "made again"],
)
def test_an_apply_that_was_cut_off_is_looked_into(
    bench: Bench, state: str, found: Found | None, adopted: list[str], seen: str
) -> None:
    """The plan is a fresh one, made after the look; only the state and the provider are asked what there is."""
    bench.provider.found = found

    result = tofu.apply(Facts(), cut_off(bench, state))

    assert result.note.endswith(f"; {seen}")
    assert asked(bench) == [PULL, *adopted, "tofu plan", "tofu show", "tofu apply"]
    assert not adopted or IMPORT in bench.commands.texts
    assert bench.text("plan.tfplan") == "fresh"


def test_an_apply_that_nobody_can_look_into_asks(bench: Bench) -> None:
    bench.provider.found = errors.CannotFindError("existing")

    with pytest.raises(errors.UnknownOutcomeError, match=r"cannot look for .* `stepmark resume web-1 --nothing-made`$"):
        tofu.apply(Facts(), cut_off(bench, ""))
    assert not any(text.startswith((PLAN, APPLY)) for text in bench.commands.texts)

    result = tofu.apply(Facts(), cut_off(bench, "", nothing_made=True))
    assert result.note.endswith("; the operator saw that the earlier apply had made no host")
