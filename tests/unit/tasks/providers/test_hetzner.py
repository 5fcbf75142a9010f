from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from config.errors import SecretError
from config.fleet import EnvironmentSpec, SecretRef
from tasks import errors
from tasks.context import StepContext
from tasks.providers.base import Found
from tasks.providers.hetzner import PROVIDER
from tests.unit.tasks.api import Api

Context = Callable[[EnvironmentSpec], StepContext]
TOKEN = "kT9sesame"


def environment(endpoint: str = "https://api.hetzner.cloud/v1") -> EnvironmentSpec:
    provider = {"name": "hetzner", "token": "env:HCLOUD_TOKEN", "endpoint": endpoint, "firewall_ids": (7,)}
    return EnvironmentSpec.model_validate({"name": "web-1", "provider": provider, "ssh": {"key": "env:KEY"}})


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCLOUD_TOKEN", TOKEN)


def test_variables() -> None:
    """The token is not among those that are written down."""
    assert PROVIDER.variables(environment()) == {
        "server_type": "cx23",
        "image": "debian-12",
        "location": "nbg1",
        "backups": False,
        "delete_protection": False,
        "firewall_ids": (7,),
        "endpoint": "https://api.hetzner.cloud/v1",
        "ssh_port": 22,
    }
    assert PROVIDER.secrets(environment()) == {"token": SecretRef(reference="env:HCLOUD_TOKEN")}
    assert PROVIDER.lacks(environment()) == {}


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        ([], None),
        (
            [{"id": 42, "public_net": {"ipv4": {"ip": "203.0.113.7"}, "ipv6": None}}],
            Found("203.0.113.7", "42"),
        ),
        ([{"id": 42, "public_net": {"ipv4": None}}], Found(None, "42")),
        ([{"id": 42, "status": "running", "public_net": {"ipv4": None}}], Found(None, "42")),
        ([{"id": 42, "status": "off", "public_net": {"ipv4": None}}], Found(None, "42", stopped=True)),
    ],
)
def test_find(api: Api, context: Context, servers: list[dict[str, Any]], found: Found | None) -> None:
    api.answer = {"servers": servers}
    asked = environment(f"{api.url}/v1")

    assert PROVIDER.find(asked, context(asked)) == found
    assert api.asked == [("/v1/servers?label_selector=stepmark%3D%3Dweb-1", f"Bearer {TOKEN}")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"servers": [{"id": 1}, {"id": 2}]}, "2 servers are labelled stepmark=web-1: 1, 2"),
        ({"servers": None}, "Hetzner's API gave no list of servers"),
        ({"servers": [{}]}, "Hetzner's API gave no list of servers"),
        ({}, "Hetzner's API gave no list of servers"),
    ],
)
def test_what_cannot_be_told_apart(api: Api, context: Context, answer: dict[str, Any], message: str) -> None:
    api.answer = answer
    asked = environment(api.url)

    with pytest.raises(errors.InfrastructureError) as caught:
        PROVIDER.find(asked, context(asked))

    assert str(caught.value) == message


def test_token_is_missing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HCLOUD_TOKEN")

    with pytest.raises(SecretError, match="secret env:HCLOUD_TOKEN: the variable is not set"):
        PROVIDER.find(environment(), context(environment()))


def test_token_is_redacted(api: Api, context: Context) -> None:
    api.answer = {"servers": []}
    surroundings = context(environment(api.url))

    PROVIDER.find(surroundings.environment, surroundings)

    assert surroundings.session.redact(f"token {TOKEN}") == "token ***"
