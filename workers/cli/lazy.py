"""What the command line imports only when it is needed: a look at the fleet must not pay for what launches one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import typer


def module(name: str) -> Any:
    """A module of the command line."""
    return importlib.import_module(f"workers.cli.{name}")


class Commands(Mapping[str, Any]):
    """The commands of the program by name, in their order: each is made when it is asked for.

    places: where each is: `MODULE.FUNCTION`, or `MODULE.app` of a group.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            place, _, what = self._places[name].rpartition(".")
            self._made[name] = _command(name, getattr(module(place), what))
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _command(name: str, found: Any) -> Any:
    """The command as it would be if it had been added to the program itself."""
    holder = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
        return typer.main.get_group(holder).commands[name]
    holder.command(name)(found)
    return typer.main.get_command(holder)
