"""The whole truth: one host that boots, through provision, configure and destroy, by the command line."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tasks.sandbox import api, ladder
from tasks.sandbox.model import HostKind
from tests.e2e import conftest
from tests.e2e.conftest import Site

RUNG = next(rung for rung in ladder.look().rungs if rung.kind is HostKind.FULL)
REASONS = [lack.reason for lack in RUNG.lacks] + ([conftest.WHY_NOT] if conftest.WHY_NOT else [])
pytestmark = pytest.mark.skipif(bool(REASONS), reason=f"full hosts: {'; '.join(REASONS)}")


def on_host(site: Site, facts: dict[str, Any], command: str) -> str:
    """What a command prints on the host, over SSH."""
    options = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q"]
    login = ["-i", site.folder / "key", "-p", str(facts["ssh_port"]), f"root@{facts['address']}"]
    done = subprocess.run(["ssh", *options, *login, command], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_a_full_host_from_nothing_to_docker_and_back(site: Site) -> None:
    fleet = site.fleet({"name": "whole"}, host="full")

    status, document = site.stepmark("up", fleet)

    assert status == 0, document
    shown = site.stepmark("show", "whole")[1]
    facts, run = shown["facts"], shown["run"]
    assert (shown["state"], shown["partial"]) == ("configured", False)
    assert [step["ending"] for step in run["steps"]] == ["done"] * 4
    assert facts["cloud_init"]["status"] == "done"
    assert facts["host_key_source"] == "given"
    assert "Server Version" in on_host(site, facts, "docker info")
    assert on_host(site, facts, "docker-compose version --short").startswith("1.29")
    assert "Status: active" in on_host(site, facts, "ufw status")
    assert 'Unattended-Upgrade "1"' in on_host(site, facts, "apt-config dump")

    again, document = site.stepmark("configure", fleet)
    assert again == 0, document
    steps = site.stepmark("show", "whole")[1]["run"]["steps"]
    assert [step["ending"] for step in steps] == ["unchanged"] * 4

    status, document = site.stepmark("destroy", "whole", "--yes")
    assert status == 0, document
    assert api.status(site.folder / "hosts", "whole") is None
