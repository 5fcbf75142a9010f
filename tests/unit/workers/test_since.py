"""What has changed since a run was launched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.fleet import EnvironmentSpec
from tasks.facts import Facts
from tasks.steps import root
from workers import since
from workers.since import Change


def spec(**more: Any) -> EnvironmentSpec:
    """A sandbox host."""
    return EnvironmentSpec.model_validate(
        {"name": "web-1", "provider": {"name": "sandbox"}, "ssh": {"key": "env:KEY"}, **more}
    )


def test_what_is_declared_otherwise() -> None:
    """Secrets are shown as references; every change says when it counts."""
    new = spec(
        ssh={"key": "env:OTHER", "port": 2222},
        labels={"tier": "web"},
        parameters={
            "timeouts": {"install-docker": 60},
            "cloud_init": {"packages": ["jq"]},
            "firewall": {"allow": ["80/tcp"]},
        },
    )

    found = {change.field: change for change in since.declared(spec(), new)}

    assert found.pop("ssh.port") == Change(
        "ssh.port", 22, 2222, "counts at the next login; the host itself keeps its user and port"
    )
    assert {name: change.effect.split()[:2] for name, change in found.items()} == {
        "ssh.key": ["counts", "at"],
        "labels.tier": ["only", "selects"],
        "parameters.timeouts.install-docker": ["counts", "at"],
        "parameters.cloud_init.packages": ["counts", "only"],
        "parameters.firewall.allow": ["counts", "in"],
    }
    assert (found["ssh.key"].old, found["ssh.key"].new) == ("env:KEY", "env:OTHER")
    assert since.declared(spec(), spec()) == ()


def test_a_providers_secret_counts_at_once() -> None:
    def server(token: str, image: str) -> EnvironmentSpec:
        return spec(provider={"name": "hetzner", "token": token, "image": image})

    found = since.declared(server("env:OLD", "debian-12"), server("env:NEW", "debian-13"))

    assert [(change.field, change.effect) for change in found] == [
        ("provider.image", since.TAKEN_BY_A_STEP),
        ("provider.token", "counts at once"),
    ]


@pytest.mark.parametrize(
    ("facts", "changed"),
    [
        (Facts(), False),
        (Facts(tofu_digest="of an older version"), None),
        (Facts(tofu_digest="x", templates_digest=root.templates_digest(spec())), False),
        (Facts(tofu_digest="x", templates_digest="other"), True),
    ],
)
def test_templates(facts: Facts, changed: bool | None) -> None:
    assert since.templates_changed(facts, spec()) is changed


def test_a_template_that_is_not_here_leaves_it_open(tmp_path: Path) -> None:
    there = spec(parameters={"cloud_init": {"template": str(tmp_path / "none.j2")}})

    assert since.templates_changed(Facts(tofu_digest="x", templates_digest="y"), there) is None
