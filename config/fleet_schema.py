"""The JSON Schema of fleet files, as operators write them: what is inherited may be left out."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from config.fleet import EnvironmentSpec, Schedule
from config.layers import LAYER_KEYS, SECTIONS
from config.names import Name
from config.rollout import Policy

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DESCRIPTIONS = {
    "defaults": "What every environment starts from.",
    "groups": "Settings for the environments that name the group, laid upon the defaults.",
    "environments": "The hosts, each with what differs from the defaults and its groups.",
    "schedules": "Workflows that are launched by themselves.",
    "rollout": "How workflows go over many environments.",
}
_WHOLE = (EnvironmentSpec, Schedule, Policy)
# What no layer inherits.
_AS_THEY_ARE = ("Schedule", "Policy", "Canary", "Limit", "Budget")


def schema() -> dict[str, Any]:
    """The schema, in JSON Schema's draft 2020-12."""
    _, made = models_json_schema([(shape, "validation") for shape in _WHOLE])
    definitions = {name: part if name in _AS_THEY_ARE else _partial(part) for name, part in made["$defs"].items()}
    environment = definitions.pop("EnvironmentSpec")
    layer = {key: environment["properties"][key] for key in LAYER_KEYS}
    definitions["Layer"] = {"type": "object", "properties": layer, "additionalProperties": False}
    definitions["Environment"] = {
        **environment,
        "title": "Environment",
        "description": "One host and what is to become of it.",
        "required": ["name"],
    }
    return {
        "$schema": _DIALECT,
        "title": "Stepmark fleet file",
        "type": "object",
        "properties": {key: {"description": _DESCRIPTIONS[key], **_section(key)} for key in SECTIONS},
        "required": ["environments"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _section(key: str) -> dict[str, Any]:
    name = TypeAdapter(Name).json_schema()
    sections: dict[str, dict[str, Any]] = {
        "defaults": {"$ref": "#/$defs/Layer"},
        "groups": {"type": "object", "propertyNames": name, "additionalProperties": {"$ref": "#/$defs/Layer"}},
        "environments": {"type": "array", "items": {"$ref": "#/$defs/Environment"}, "minItems": 1},
        "schedules": {"type": "array", "items": {"$ref": "#/$defs/Schedule"}},
        "rollout": {"$ref": "#/$defs/Policy"},
    }
    return sections[key]


def _partial(part: Any) -> Any:
    """`part` without what it requires; of a union, any member that fits, as what tells them apart may be inherited."""
    if isinstance(part, list):
        return [_partial(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "patternProperties" in part:
        part = {**part, "additionalProperties": False}
    renamed = {"anyOf" if key == "oneOf" else key: value for key, value in part.items() if key != "discriminator"}
    return {key: _partial(value) for key, value in renamed.items() if key != "required" or not isinstance(value, list)}
