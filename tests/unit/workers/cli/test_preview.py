"""How a preview is put into words."""

from __future__ import annotations

from typing import Any

import pytest

from workers.cli import preview
from workers.preview import Preview
from workers.since import TAKEN_BY_A_STEP, Change

RENDER = "render-opentofu-templates"
LISTEN = Change("provider.listen", False, True, TAKEN_BY_A_STEP)
LIMIT = Change("parameters.timeouts.wait-ssh-connectivity", None, 600.0, "counts at once")


def made(**more: Any) -> Preview:
    """Of a provision that goes on after what was rendered."""
    values: dict[str, Any] = {
        "environment": "web-2",
        "run": "r1",
        "epoch": 2,
        "refused": "",
        "steps": (),
        "doubts": (),
        "changes": (LISTEN, LIMIT),
        "used": True,
        "templates_changed": False,
        "renderer": RENDER,
        "rendered": False,
        "taker": RENDER,
        "takes": False,
        "held_seconds": 0.0,
    }
    return Preview(**values | more)


RETRY = f"not taken: `stepmark retry web-2 --from {RENDER} --fleet FILE` takes it"


@pytest.mark.parametrize(
    ("more", "listen", "limit"),
    [
        ({}, RETRY, "counts at once"),
        ({"used": False}, RETRY, "not taken: give --fleet"),
        ({"takes": True}, f"{RENDER} takes it; the plan says what it changes", "counts at once"),
        ({"takes": True, "used": False}, "not taken: give --fleet", "not taken: give --fleet"),
        ({"taker": "", "renderer": ""}, "no step of this run takes it", "counts at once"),
        (
            {"taker": "wait-ssh-connectivity", "takes": True, "renderer": ""},
            "wait-ssh-connectivity takes it",
            "counts at once",
        ),
    ],
)
def test_a_change_says_who_takes_it_and_how(more: dict[str, Any], listen: str, limit: str) -> None:
    said = [line.strip() for line in preview._lines(made(**more)) if "declared" in line]

    assert said == [
        f"declared: provider.listen: false -> true ({listen})",
        f"declared: parameters.timeouts.wait-ssh-connectivity: unset -> 600 ({limit})",
    ]


def test_what_is_taken_is_told_apart_in_one_line() -> None:
    assert preview.changes(made()) == (
        f"declared otherwise now ({RETRY}): provider.listen; "
        "declared otherwise now (taken): parameters.timeouts.wait-ssh-connectivity"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unset"),
        (True, "true"),
        (30.0, "30"),
        (0.5, "0.5"),
        ("file:~/key", "file:~/key"),
        (["80/tcp", "443/tcp"], "[80/tcp, 443/tcp]"),
        ([], "[]"),
    ],
)
def test_values_are_as_a_fleet_file_has_them(value: object, text: str) -> None:
    assert preview._yaml(value) == text
