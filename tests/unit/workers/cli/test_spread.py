from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import typer

from workers.cli.spread import spread


@dataclass(frozen=True)
class Pair:
    left: Annotated[str | None, typer.Option("--left")] = None
    right: Annotated[int, typer.Option("--right")] = 2


def test_a_group_of_options_is_spread_into_them() -> None:
    seen = []

    @spread
    def command(pair: Pair, loud: Annotated[bool, typer.Option("--loud")] = False) -> int:
        """Do it."""
        seen.append((pair, loud))
        return 0

    assert list(inspect.signature(command).parameters) == ["left", "right", "loud"]
    assert command.__doc__ == "Do it."
    assert command(left="a", right=3, loud=True) == 0
    assert seen == [(Pair("a", 3), True)]
