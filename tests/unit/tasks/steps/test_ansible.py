from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks import errors
from tasks.adapters import ansible as adapter
from tasks.adapters import process, ssh
from tasks.adapters.ansible import Play, PlayResult
from tasks.adapters.remote_scope import Scope
from tasks.context import Options, StepContext
from tasks.facts import Facts
from tasks.providers import registry
from tasks.providers.base import Need
from tasks.result import Ending, Result
from tasks.steps import ansible
from tests.unit.tasks.commands import session

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter22hunter22\n-----END OPENSSH PRIVATE KEY-----\n"
FACTS = Facts(address="192.0.2.7", host_key="ssh-ed25519 AAAA")
Step = Callable[[Facts, StepContext], Result]
STEPS: dict[str, Step] = {
    "install-docker.yml": ansible.install_docker,
    "install-docker-compose.yml": ansible.install_compose,
    "configure-security-updates.yml": ansible.security_updates,
    "configure-firewall.yml": ansible.firewall,
}


@dataclass
class Bench:
    """One environment, whose provider lacks what `lacking` says, and whose plays end as `result` says.

    played: each play, with what its files held: the login's key, and the host's.
    """

    context: StepContext
    lacking: dict[Need, str] = field(default_factory=dict)
    result: PlayResult = field(default_factory=lambda: PlayResult(3, 9, 1))
    played: list[tuple[Play, str, str | None]] = field(default_factory=list)

    def lacks(self, _environment: EnvironmentSpec) -> Mapping[Need, str]:
        return self.lacking

    def play(self, request: Play, _session: process.Session) -> PlayResult:
        self.played.append((request, request.target.identity.read_text(), ssh.pinned(request.target.known_hosts)))
        return self.result

    @property
    def folder(self) -> Path:
        return self.context.workspace / "ansible"

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@contextmanager
def state() -> Iterator[Mapping[str, str]]:
    yield {}


def environment(**parameters: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {
            "name": "web-1",
            "provider": {"name": "existing", "address": "192.0.2.7"},
            "ssh": {"key": "env:STEP_TEST_KEY", "user": "admin", "port": 2200},
            "parameters": parameters,
        }
    )


def context(workspace: Path, **parameters: Any) -> StepContext:
    return StepContext(environment(**parameters), workspace, Settings(), session(), Options(), state, scope="0a.3")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    made = Bench(context(workspace))
    monkeypatch.setattr(registry, "get", lambda _: made)
    monkeypatch.setattr(adapter, "play", made.play)
    monkeypatch.setenv("STEP_TEST_KEY", KEY)
    return made


def text(value: str) -> dict[str, str]:
    """As Ansible is told that `value` is no template."""
    return {"__ansible_unsafe": value}


def test_render(bench: Bench) -> None:
    result = ansible.render(FACTS, bench.context)

    host = {"ansible_host": text("192.0.2.7"), "ansible_port": 2200, "ansible_user": text("admin")}
    assert bench.read("inventory.json") == {"all": {"hosts": {"host": host}}}
    assert bench.read("vars.json") == {
        "compose": {"method": text("package"), "package": text("docker-compose"), "sha256": {}, "url": None},
        "docker": {"packages": [text("docker.io")]},
        "firewall": {"allow": []},
        "login_user": text("admin"),
        "security_updates": {"packages": [text("unattended-upgrades")], "reboot_time": text("02:00")},
        "ssh_port": 2200,
    }
    digest = result.facts.ansible_digest
    assert digest
    assert result == Result(FACTS.model_copy(update={"ansible_digest": digest}), note="for 192.0.2.7")


def test_what_is_rendered_is_private_and_has_no_key(bench: Bench) -> None:
    ansible.render(FACTS, bench.context)

    assert stat.S_IMODE(bench.folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in bench.folder.iterdir()} == {
        "inventory.json": 0o600,
        "vars.json": 0o600,
    }
    assert "hunter22" not in "".join(path.read_text() for path in bench.folder.iterdir())


def test_a_learned_port_counts_before_the_declared_one(bench: Bench) -> None:
    """The firewall still opens the declared one: the learned one may be forwarded."""
    ansible.render(FACTS.model_copy(update={"ssh_port": 40022}), bench.context)

    assert bench.read("inventory.json")["all"]["hosts"]["host"]["ansible_port"] == 40022
    assert bench.read("vars.json")["ssh_port"] == 2200


def test_render_again(bench: Bench) -> None:
    first = ansible.render(FACTS, bench.context)

    assert ansible.render(first.facts, bench.context) == Result(first.facts, Ending.UNCHANGED)


def test_render_again_for_another_address(bench: Bench) -> None:
    first = ansible.render(FACTS, bench.context)
    moved = ansible.render(first.facts.model_copy(update={"address": "192.0.2.8"}), bench.context)

    assert moved.ending is Ending.DONE
    assert moved.facts.ansible_digest != first.facts.ansible_digest
    assert bench.read("inventory.json")["all"]["hosts"]["host"]["ansible_host"] == text("192.0.2.8")


def test_no_address(bench: Bench) -> None:
    with pytest.raises(errors.TemplateError, match="the host's address is not known yet"):
        ansible.render(Facts(), bench.context)
    assert not bench.folder.exists()


@pytest.mark.parametrize("playbook", STEPS)
def test_a_playbook(playbook: str, bench: Bench) -> None:
    rendered = ansible.render(FACTS, bench.context).facts

    result = STEPS[playbook](rendered, bench.context)

    [(played, key, pinned)] = bench.played
    assert (played.playbook, played.folder, key, pinned) == (playbook, bench.folder, KEY, "ssh-ed25519 AAAA")
    target = played.target
    assert (target.address, target.port, target.user) == ("192.0.2.7", 2200, "admin")
    assert target.scope == Scope("web-1", "0a", 3)
    assert not target.identity.exists()
    assert result == Result(rendered, note="3 changed, 9 ok")
    assert bench.context.session.redact("a hunter22hunter22 b") == "a *** b"


@pytest.mark.parametrize("playbook", STEPS)
def test_nothing_changed(playbook: str, bench: Bench) -> None:
    bench.result = PlayResult(0, 12, 1)

    result = STEPS[playbook](FACTS, bench.context)

    assert (result.ending, result.note) == (Ending.UNCHANGED, "0 changed, 12 ok")


@pytest.mark.parametrize("playbook", STEPS)
def test_what_is_missing_is_rendered(playbook: str, bench: Bench) -> None:
    """On a worker whose workspace never had it, or lost it, though the digest is known."""
    facts = FACTS.model_copy(update={"ansible_digest": "0" * 64})

    result = STEPS[playbook](facts, bench.context)

    assert sorted(path.name for path in bench.folder.iterdir()) == ["inventory.json", "vars.json"]
    assert result.facts == ansible.render(FACTS, bench.context).facts


@pytest.mark.parametrize("playbook", STEPS)
def test_no_pinned_host_key(playbook: str, bench: Bench) -> None:
    with pytest.raises(errors.AuthenticationError, match="no host key is pinned yet"):
        STEPS[playbook](Facts(address="192.0.2.7"), bench.context)
    assert bench.played == []


@pytest.mark.parametrize(
    ("playbook", "need"),
    [
        ("install-docker.yml", Need.PACKAGES),
        ("install-docker.yml", Need.SERVICES),
        ("install-docker.yml", Need.CONTAINERS),
        ("install-docker-compose.yml", Need.PACKAGES),
        ("configure-security-updates.yml", Need.PACKAGES),
        ("configure-firewall.yml", Need.PACKAGES),
        ("configure-firewall.yml", Need.FIREWALL),
    ],
)
def test_not_possible(playbook: str, need: Need, bench: Bench) -> None:
    """Without running, rendering or knowing anything."""
    bench.lacking = {need: "no such thing here"}

    assert STEPS[playbook](Facts(), bench.context) == Result(Facts(), Ending.NOT_POSSIBLE, "no such thing here")
    assert (bench.played, bench.folder.exists()) == ([], False)


def test_a_downloaded_compose_is_nothing_without_docker(bench: Bench, tmp_path: Path) -> None:
    download = {"method": "download", "url": "http://192.0.2.1/{arch}", "sha256": {"x86_64": "0" * 64}}
    bench.lacking = {Need.SERVICES: "no systemd"}

    result = ansible.install_compose(FACTS, context(tmp_path, compose=download))

    assert result == Result(FACTS, Ending.NOT_POSSIBLE, "no systemd")
    assert ansible.install_compose(FACTS, bench.context).ending is Ending.DONE


def test_security_updates_that_nothing_starts_say_so(bench: Bench) -> None:
    bench.lacking = {Need.SERVICES: "no systemd"}

    result = ansible.security_updates(FACTS, bench.context)

    assert (result.ending, result.note) == (Ending.DONE, "3 changed, 9 ok; nothing starts them: no systemd")
