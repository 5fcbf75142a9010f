"""Real failures on real hosts: each is named by the step that was tracked, and by its kind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e import conftest
from tests.e2e.conftest import Site

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")

BROKEN = "packages: {{ no_such_value | yaml }}\n"
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "wrong-key": (
        {},
        {"timeouts": {"wait-ssh-connectivity": 60}},
        "wait-ssh-connectivity",
        "authentication",
    ),
    "not-listening": (
        {"provider": {"listen": False}},
        {"timeouts": {"wait-ssh-connectivity": 5}},
        "wait-ssh-connectivity",
        "timeout",
    ),
    "broken-template": (
        {},
        {"cloud_init": {"template": "broken.j2"}},
        "render-opentofu-templates",
        "template-rendering",
    ),
    "failing-provisioner": (
        {"provider": {"fail_boot": True}},
        {},
        "opentofu-apply",
        "infrastructure-operation",
    ),
    "cloud-init-error": (
        {"provider": {"cloud_init": True}},
        {"cloud_init": {"commands": ["exit 7"]}},
        "cloud-init-wait",
        "command-execution",
    ),
    "unknown-package": (
        {},
        {"compose": {"package": "no-such-package"}},
        "install-docker-compose",
        "command-execution",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_real_failure_has_the_right_step_and_kind(name: str, site: Site) -> None:
    (site.folder / "broken.j2").write_text(BROKEN)
    environment, parameters, step, kind = CASES[name]
    fleet = site.fleet({"name": name, **environment}, **parameters)
    if name == "wrong-key":
        replace_key_after_boot(site, name, fleet)
    else:
        status, document = site.stepmark("up", fleet)
        assert status == 1, document

    context = site.failure(name)

    assert (context["failed_step"], context["error_kind"]) == (step, kind), context
    assert context["environment"] == name
    assert context["hint"]
    site.stepmark("destroy", name, "--yes")
    assert site.stepmark("show", name)[1]["state"] == "destroyed"


def replace_key_after_boot(site: Site, name: str, fleet: Path) -> None:
    """Provision with one key, then come with another: the host refuses it."""
    assert site.stepmark("provision", fleet)[0] == 0
    text = fleet.read_text()
    fleet.write_text(text.replace("file:key", "file:wrong-key"))
    status, document = site.stepmark("provision", fleet)
    assert status == 1, document


@pytest.fixture
def refusing_redis(site: Site) -> Iterator[dict[str, str]]:
    """A user of Redis who may do everything but touch OpenTofu states."""
    admin = redis.Redis.from_url(site.url)
    rules = ["on", ">denied", "+@all", "&*", "~[^s]*", "~stepmark:[^t]*", "~stepmark:trace*"]
    admin.execute_command("ACL", "SETUSER", "denied", "reset", *rules)
    address = site.url.rpartition("@")[2].removeprefix("redis://")
    yield {"STEPMARK_REDIS_URL": f"redis://denied:denied@{address}"}
    admin.execute_command("ACL", "DELUSER", "denied")


def test_a_state_store_that_refuses_is_state_persistence(site: Site, refusing_redis: dict[str, str]) -> None:
    site.stop()
    site.start("tools", "-P", "prefork", "-c", "2", **refusing_redis)

    status, _ = site.stepmark("provision", site.fleet({"name": "refused"}))

    context = site.failure("refused")
    site.stop()
    site.start("tools", "-P", "prefork", "-c", "2")
    site.start("wait", "-P", "threads", "-c", "20")
    assert (status, context["error_kind"]) == (1, "state-persistence"), context
    assert context["failed_step"] in {"opentofu-init", "opentofu-plan"}


def test_resume_goes_on_after_the_cause_was_mended(site: Site) -> None:
    """The host refuses the key at step 8 of 9; with the right key in place, the run goes on from there."""
    fleet = site.fleet({"name": "mended", "ssh": {"key": "file:mended-key"}})
    mended = site.folder / "mended-key"
    mended.write_bytes((site.folder / "key").read_bytes())
    mended.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-y", "-f", mended], check=True, capture_output=True)
    assert site.stepmark("provision", fleet)[0] == 0
    mended.write_bytes((site.folder / "wrong-key").read_bytes())
    assert site.stepmark("provision", fleet)[0] == 1
    before = site.failure("mended")
    address = site.stepmark("show", "mended")[1]["facts"]["address"]

    mended.write_bytes((site.folder / "key").read_bytes())
    status, document = site.stepmark("resume", "mended")

    assert status == 0, document
    shown = site.stepmark("show", "mended")[1]
    assert (before["failed_step"], before["attempt"]) == ("wait-ssh-connectivity", 1)
    assert shown["state"] == "provisioned"
    assert shown["facts"]["address"] == address
    attempts = {step["step"]: step["attempt"] for step in shown["run"]["steps"]}
    assert attempts["wait-ssh-connectivity"] == 2
    assert attempts["opentofu-apply"] == 1
    site.stepmark("destroy", "mended", "--yes")


def test_a_provider_setting_counts_once_it_is_rendered_anew(site: Site) -> None:
    """The host that nothing answered on is opened, and is still the same."""
    waits = {"timeouts": {"wait-ssh-connectivity": 5}}
    assert site.stepmark("provision", site.fleet({"name": "shut", "provider": {"listen": False}}, **waits))[0] == 1
    address = site.stepmark("show", "shut")[1]["facts"]["address"]
    open_now = site.fleet({"name": "shut", "provider": {"listen": True}})

    status, document = site.stepmark("retry", "shut", "--from", "render-opentofu-templates", "--fleet", open_now)

    assert status == 0, document
    shown = site.stepmark("show", "shut")[1]
    assert (shown["state"], shown["facts"]["address"]) == ("provisioned", address)
    site.stepmark("destroy", "shut", "--yes")
