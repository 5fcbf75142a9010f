from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from config import example, fleet_schema
from config.errors import FleetFileError
from config.fleet import Fleet
from config.providers import registry
from tests.unit.config.test_fleet import LAYERED

SCHEMA = fleet_schema.schema()
ENVIRONMENT = {"name": "a", "provider": {"name": "existing", "address": "b"}, "ssh": {"key": "env:KEY"}}


def faults(document: Any) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def test_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_has_every_provider() -> None:
    members = [
        SCHEMA["$defs"][ref["$ref"].rpartition("/")[2]]
        for ref in SCHEMA["$defs"]["Layer"]["properties"]["provider"]["anyOf"]
    ]

    assert {member["properties"]["name"]["const"] for member in members} == registry.models().keys()


def test_describes_every_key() -> None:
    keys = {
        f"{name}.{key}": "description" in said or "$ref" in said
        for name, part in SCHEMA["$defs"].items()
        for key, said in part.get("properties", {}).items()
        if key != "name"
    }

    assert [key for key, described in keys.items() if not described] == []


@pytest.mark.parametrize("text", [example.text(), LAYERED], ids=["example", "layered"])
def test_takes_what_loads(text: str) -> None:
    """What is inherited may be left out, and what is partial may stand in a layer."""
    assert faults(yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"environments": []},
        {"environments": [{"provider": ENVIRONMENT["provider"]}]},
        {"environments": [{**ENVIRONMENT, "name": "A"}]},
        {"environments": [{**ENVIRONMENT, "sssh": {}}]},
        {"environments": [{**ENVIRONMENT, "ssh": {"key": "hunter2"}}]},
        {"environments": [{**ENVIRONMENT, "ssh": {"key": "env:KEY", "port": 0}}]},
        {"environments": [{**ENVIRONMENT, "labels": {"Stage": "x"}}]},
        {"environments": [{**ENVIRONMENT, "provider": {"name": "existing", "adress": "b"}}]},
        {"environments": [{**ENVIRONMENT, "parameters": {"firewall": {"allow": ["99999/tcp"]}}}]},
        {"environments": [ENVIRONMENT], "groups": {"Web": {}}},
        {"environments": [ENVIRONMENT], "defaults": {"name": "b"}},
        {"environments": [ENVIRONMENT], "schedules": [{"name": "s", "select": "all", "every": "6h"}]},
        {
            "environments": [ENVIRONMENT],
            "schedules": [{"name": "s", "workflow": "up", "select": "some", "every": "6h"}],
        },
    ],
    ids=range(14),
)
def test_refuses_what_does_not_load(load: Callable[[str], Fleet], document: Any) -> None:
    with pytest.raises(FleetFileError):
        load(yaml.safe_dump(document))

    assert faults(document) != []
