"""The job `converge`: configure, again and again. Where all is as it should be, it changes nothing on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import conftest
from tests.e2e.conftest import Site

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")

# Every file but the logs: mode, owner, when it was written and changed, where a link leads; and the firewall.
WHAT_IS_THERE = (
    "find / -xdev -path /var/log -prune -o -path /run -prune -o -path /tmp -prune "
    r"-o ! -type d -printf '%p %m %u %T@ %C@ %l\n' | sort; ufw status verbose; nft list ruleset"
)


def on_host(site: Site, facts: dict[str, Any], command: str) -> str:
    """What a command prints on the host, over SSH."""
    options = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q"]
    login = ["-i", site.folder / "key", "-p", str(facts["ssh_port"]), f"root@{facts['address']}"]
    done = subprocess.run(["ssh", *options, *login, command], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def endings(site: Site, name: str) -> list[str]:
    """How the steps of an environment's last run ended."""
    return [step["ending"] for step in site.stepmark("show", name)[1]["run"]["steps"]]


@pytest.fixture(scope="module")
def fleet(site: Site) -> Path:
    """The fleet file of a host that has been configured."""
    path = site.fleet({"name": "steady"})
    status, document = site.stepmark("up", path)
    assert status == 0, document
    assert endings(site, "steady") == ["not-possible", "done", "done", "done"]
    return path


def test_a_second_configure_changes_nothing(site: Site, fleet: Path) -> None:
    facts = site.stepmark("show", "steady")[1]["facts"]
    before = on_host(site, facts, WHAT_IS_THERE)
    assert len(before.splitlines()) > 1_000

    status, document = site.stepmark("configure", fleet)

    assert status == 0, document
    assert endings(site, "steady") == ["not-possible", "unchanged", "unchanged", "unchanged"]
    after = on_host(site, facts, WHAT_IS_THERE)
    assert sorted(set(after.splitlines()) ^ set(before.splitlines())) == []
    assert site.stepmark("show", "steady")[1]["facts"] == facts


def test_what_was_changed_by_hand_is_put_right(site: Site, fleet: Path) -> None:
    """And nothing but that."""
    facts = site.stepmark("show", "steady")[1]["facts"]
    default = on_host(site, facts, "ufw status verbose | grep ^Default")
    on_host(site, facts, "ufw default allow incoming")
    assert on_host(site, facts, "ufw status verbose | grep ^Default") != default

    status, document = site.stepmark("configure", fleet)

    assert status == 0, document
    assert endings(site, "steady") == ["not-possible", "unchanged", "unchanged", "done"]
    assert on_host(site, facts, "ufw status verbose | grep ^Default") == default
