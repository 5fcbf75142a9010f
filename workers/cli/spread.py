"""Spread: options that go together are one value to a command, and several on the command line."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

Command = Callable[..., int]


def spread(command: Command) -> Command:
    """`command`, each of its parameters whose type is a dataclass replaced by that class's fields, as options."""
    signature = inspect.signature(command, eval_str=True)
    groups = {name: each.annotation for name, each in signature.parameters.items() if _is_group(each.annotation)}
    fields = {name: [field.name for field in dataclasses.fields(group)] for name, group in groups.items()}

    @functools.wraps(command)
    def spread_command(**given: Any) -> int:
        made = {name: group(**{field: given.pop(field) for field in fields[name]}) for name, group in groups.items()}
        return command(**made, **given)

    parameters = [part for each in signature.parameters.values() for part in _parts(each)]
    spread_command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return spread_command


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _parts(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    if not _is_group(parameter.annotation):
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    hints = get_type_hints(parameter.annotation, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(parameter.annotation)
    ]
