from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from config.fleet import EnvironmentSpec
from tasks import errors
from tasks.adapters import process
from tasks.context import StepContext
from tasks.providers.base import Found
from tasks.providers.lxd import PROVIDER
from tests.unit.tasks.commands import Answer, Commands

Context = Callable[[EnvironmentSpec], StepContext]
ENVIRONMENT = EnvironmentSpec.model_validate(
    {
        "name": "web-1",
        "provider": {"name": "lxd", "remote": "lab", "project": "fleet", "cpus": 2, "disk_gib": 20},
        "ssh": {"key": "env:KEY", "port": 2222},
    }
)
LIST = "lxc list lab: ^web-1$ --project fleet --format json"
ID = "lab:fleet/web-1,image=ubuntu:24.04"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands()
    monkeypatch.setattr(process, "run", made.run)
    return made


def instance(name: str = "web-1", **networks: Any) -> dict[str, Any]:
    def address(family: str, scope: str, text: str) -> dict[str, str]:
        return {"family": family, "scope": scope, "address": text, "netmask": "24"}

    told = {
        network: {"addresses": [address("inet6", "link", "fe80::1"), address("inet", scope, text)]}
        for network, (scope, text) in networks.items()
    }
    return {"name": name, "status": "Running", "state": {"status": "Running", "network": told or None}}


def test_variables() -> None:
    assert PROVIDER.variables(ENVIRONMENT) == {
        "remote": "lab",
        "project": "fleet",
        "image": "ubuntu:24.04",
        "type": "container",
        "profiles": ("default",),
        "cpus": 2,
        "memory_mib": None,
        "disk_gib": 20,
        "storage_pool": "default",
        "ssh_port": 2222,
    }
    assert (PROVIDER.secrets(ENVIRONMENT), PROVIDER.lacks(ENVIRONMENT)) == ({}, {})


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([], None),
        ([instance("web-10", eth0=("global", "10.0.0.9"))], None),
        ([instance()], Found(None, ID)),
        ([{"name": "web-1", "state": None}], Found(None, ID)),
        (
            [
                instance("web-10"),
                instance(docker0=("global", "172.17.0.1"), eth0=("global", "10.0.0.7"), lo=("local", "127.0.0.1")),
            ],
            Found("10.0.0.7", ID),
        ),
        ([instance(docker0=("global", "172.17.0.1"), lo=("local", "127.0.0.1"))], Found(None, ID)),
        ([instance(ens3=("global", "10.0.0.8"))], Found("10.0.0.8", ID)),
        ([instance() | {"status": "Stopped"}], Found(None, ID, stopped=True)),
    ],
    ids=range(8),
)
def test_find(commands: Commands, context: Context, listed: list[dict[str, Any]], found: Found | None) -> None:
    commands.script[LIST] = Answer(json.dumps(listed))

    assert PROVIDER.find(ENVIRONMENT, context(ENVIRONMENT)) == found
    assert commands.texts == [LIST]


@pytest.mark.parametrize(
    "answer", [Answer(stderr="Error: no such remote\n", exit_status=1), Answer("not json"), Answer("{}")], ids=range(3)
)
def test_find_fails(commands: Commands, context: Context, answer: Answer) -> None:
    commands.script[LIST] = answer

    with pytest.raises(errors.InfrastructureError) as caught:
        PROVIDER.find(ENVIRONMENT, context(ENVIRONMENT))

    error = caught.value
    assert (error.command, error.exit_status) == (LIST, answer.exit_status)
    assert error.output_tail == (answer.stderr + answer.stdout).rstrip()


def test_without_lxc(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise errors.ToolMissingError("lxc is not on PATH")

    monkeypatch.setattr(process, "run", missing)

    with pytest.raises(errors.CannotFindError, match="provider lxd cannot look for an existing host"):
        PROVIDER.find(ENVIRONMENT, context(ENVIRONMENT))
