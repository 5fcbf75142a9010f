"""What a message says of itself."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from tasks.identity import HEADER, StepIdentity, other_schema

IDENTITY = StepIdentity(
    run="r1",
    token="t",
    epoch=2,
    environment="web-1",
    workflow="provision",
    step="opentofu-apply",
    index=5,
    total=9,
    delivery=3,
)


def test_it_survives_the_wire() -> None:
    assert StepIdentity.read(json.loads(json.dumps(IDENTITY.headers()))) == IDENTITY


def test_names() -> None:
    assert (IDENTITY.label, IDENTITY.task_id) == ("web-1 provision 5/9 opentofu-apply", "r1.2.3.5")


@pytest.mark.parametrize("headers", [None, {}, {"another": {}}])
def test_a_message_of_somebody_else_has_none(headers: dict[str, object] | None) -> None:
    assert StepIdentity.read(headers) is None


@pytest.mark.parametrize("content", [{}, "text"])
def test_what_is_not_understood_is_refused(content: object) -> None:
    with pytest.raises(ValidationError):
        StepIdentity.read({HEADER: content})


def test_a_message_of_another_schema_is_for_another_version() -> None:
    """Nothing else of it is looked at."""
    headers = {HEADER: {"schema_version": 2, "place": "somewhere else by then"}}

    assert (StepIdentity.read(headers), other_schema(headers)) == (None, "2")
    assert [other_schema(each) for each in (None, {}, {HEADER: "text"}, IDENTITY.headers())] == ["", "", "", ""]


def test_what_a_newer_minor_version_adds_is_ignored() -> None:
    assert StepIdentity.read({HEADER: IDENTITY.model_dump() | {"colour": "red"}}) == IDENTITY
