from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from config.names import LabelKey, Line, Name

NAME: TypeAdapter[str] = TypeAdapter(Name)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize("name", ["a", "7", "web-1", "a--b", "1-2", "a" * 40])
def test_name(name: str) -> None:
    assert NAME.validate_python(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a" * 41, "must be at most 40 characters long"),
        *(
            (name, "must be a-z, 0-9 and `-`, a letter or digit first and last")
            for name in [
                "",
                "-",
                "-a",
                "a-",
                "A",
                "a_b",
                "a.b",
                "a b",
                "a/b",
                "..",
                "a\n",
                "\na",
                "é",
                "\u0661",
                "a\x00",
            ]
        ),
    ],
)
def test_no_name(name: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NAME.validate_python(name)

    assert [error["msg"] for error in caught.value.errors()] == [message]


@given(st.text(max_size=45) | st.text(f"{LETTERS}-", max_size=45))
def test_any_text(text: str) -> None:
    """The rule, said without a regular expression; and the JSON Schema says the same."""
    is_name = 0 < len(text) <= 40 and set(text) <= {*LETTERS, "-"} and "-" not in {text[0], text[-1]}
    schema = NAME.json_schema()

    try:
        NAME.validate_python(text)
        taken = True
    except ValidationError:
        taken = False

    assert taken == is_name
    assert taken == bool(len(text) <= schema["maxLength"] and re.search(schema["pattern"][:-1] + r"\Z", text))


@pytest.mark.parametrize(
    ("shape", "text", "taken"),
    [
        (LabelKey, "example.com/stage_1", True),
        (LabelKey, "a" * 64, False),
        (LabelKey, "-a", False),
        (Line, "", True),
        (Line, "Zoë, büro #3", True),
        (Line, "x" * 201, False),
        (Line, "a\nb", False),
        (Line, "\x1b[31m", False),
    ],
)
def test_labels(shape: type[str], text: str, taken: bool) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(shape)
    if taken:
        assert adapter.validate_python(text) == text
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
