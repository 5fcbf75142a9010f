"""The settings of every provider: found in the folders beside this file, so a new provider is a new folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from config import providers
from config.model import Model


class AnySettings:
    """Annotates a field as the settings of whichever provider their `name` says."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A union that `name` tells apart."""
        choices = {name: handler.generate_schema(model) for name, model in models().items()}
        return core_schema.tagged_union_schema(choices, discriminator="name")


@lru_cache(maxsize=1)
def models() -> Mapping[str, type[Model]]:
    """The settings model of each provider, by name.

    Raises:
        TypeError: a provider's folder has no `model.py` with one model whose `name` is the folder's.
    """
    folders = sorted(found.name for found in pkgutil.iter_modules(providers.__path__) if found.ispkg)
    return MappingProxyType({name: _model(name) for name in folders})


def templates(name: str) -> Path:
    """The folder of a provider's templates."""
    return Path(__file__).parent / name / "templates"


def _model(name: str) -> type[Model]:
    module = importlib.import_module(f"{providers.__name__}.{name}.model")
    found: list[type[Model]] = [
        value for value in vars(module).values() if _names(value) == (name,) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f'{module.__name__} must define one Model with `name: Literal["{name}"]`, not {len(found)}')
    return found[0]


def _names(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, type) or not issubclass(value, Model) or "name" not in value.model_fields:
        return ()
    annotation = value.model_fields["name"].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()
