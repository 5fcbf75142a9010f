"""What pydantic says is wrong, said to operators: in their words, at the place in their file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from config.errors import Problem
from config.providers import registry
from config.tree import Node

Shape = TypeVar("Shape")
# The type of a model's own error about keys that need others: in a layer, the others may come from elsewhere.
_INCOMPLETE = "incomplete"
_MISSING = frozenset({"missing", "union_tag_not_found"})
_TAGGED = frozenset({"provider", "select"})
_MAPPING = "must be a mapping (`key: value` lines below it)"
_WORDS = {
    "bool_type": "must be true or false",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_type": "must be text: put it in quotes",
}


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest of `known`, or all of them if none is near."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known: {', '.join(words)}" if words else ""


@dataclass(frozen=True)
class Checker(Generic[Shape]):
    """Makes values of one type from nodes.

    folder: the file's, for relative paths in it. advice: what to do about what is missing.
    """

    shape: type[Shape]
    folder: str | None = None
    advice: str = "add it"

    def make(self, node: Node) -> tuple[Shape | None, list[Problem]]:
        """`node` as a value, or what is wrong with it."""
        # As JSON, because pydantic's strict mode takes lists for tuples and text for paths only from there.
        text = json.dumps(node.plain())
        try:
            return self._adapter.validate_json(text, strict=True, context={"folder": self.folder}), []
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        return None, [self._problem(node, detail) for detail in details if not _follows(detail, details)]

    def partial(self, node: Node) -> list[Problem]:
        """What is wrong with `node`, if what is missing from it may come from elsewhere."""
        return [problem for problem in self.make(node)[1] if not isinstance(problem, _Missing)]

    @cached_property
    def _adapter(self) -> TypeAdapter[Shape]:
        return TypeAdapter(self.shape)

    def _problem(self, node: Node, detail: ErrorDetails) -> Problem:
        keys = _keys(detail)
        if detail["type"] in _MISSING:
            place = node.place.under(".".join(map(str, keys)))
            return _Missing(place.file, place.line, place.column, place.path, f"is missing: {self.advice}")
        here, rest = node, list(keys)
        while rest and (child := here.child(rest[0])):
            here = child
            del rest[0]
        found = here.place.problem(self._message(keys, detail))
        return _Missing(**vars(found)) if detail["type"] == _INCOMPLETE else found

    def _message(self, keys: list[str], detail: ErrorDetails) -> str:
        context = detail.get("ctx", {})
        match detail["type"]:
            case "extra_forbidden":
                return f"is not a known key{suggest(keys[-1], _fields(self.shape, detail['loc'][:-1]))}"
            case "union_tag_invalid":
                return f"has no provider called `{context['tag']}`{suggest(context['tag'], registry.models())}"
            case "literal_error":
                return f"must be {context['expected']}"
            case "value_error":
                return str(context["error"])
            case kind:
                return _WORDS.get(kind, detail["msg"].replace("Input should", "must"))


class _Missing(Problem):
    """Something that is not there."""


def _follows(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether it only says that a list is short because its items are wrong."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(other["loc"][:-1] == loc for other in details)


def _keys(detail: ErrorDetails) -> list[str]:
    """The keys of the file: without pydantic's own parts of the location (which member of a union; key or value)."""
    keys = [str(key) for key in detail["loc"] if key != "[key]"]
    if detail["type"] == "union_tag_not_found":
        return [*keys, "name"]
    if len(keys) > 1 and keys[0] in _TAGGED:
        del keys[1]
    return keys


def _fields(shape: Any, loc: tuple[str | int, ...]) -> Iterator[str]:
    """The keys that `shape` knows, at `loc` below it; `loc` names a provider's settings by the provider."""
    for key in loc:
        field = getattr(shape, "model_fields", {}).get(key)
        shape = _model(field.annotation) if field else registry.models().get(str(key), shape)
    yield from getattr(shape, "model_fields", ())


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model, get_args(annotation))), None)
