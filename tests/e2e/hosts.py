"""Sandbox hosts that run, and what a step is given about them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks import errors
from tasks.adapters import cloud_init, remote_scope, ssh, templates
from tasks.adapters.process import Lifeline, Redactor, Session
from tasks.context import Options, StepContext
from tasks.facts import Facts
from tasks.result import Ending
from tasks.sandbox import api
from tasks.sandbox.model import HostKind, Spec
from tasks.steps.registry import StepTask
from tests.support import poll


@contextmanager
def no_state() -> Iterator[Mapping[str, str]]:
    yield {}


@dataclass(frozen=True)
class Host:
    """A sandbox host that runs, and what a step is given about it."""

    facts: Facts
    folder: Path
    user: str
    kind: HostKind

    def context(self, **parameters: Any) -> StepContext:
        declared = EnvironmentSpec.model_validate(
            {
                "name": "web-1",
                "provider": {"name": "sandbox", "host": self.kind},
                "ssh": {"key": f"file:{self.folder / 'key'}", "user": self.user, "port": self.facts.ssh_port},
                "parameters": parameters,
            }
        )
        return StepContext(declared, self.folder, Settings(), self.session(), Options(), no_state, scope="0a.1")

    def session(self, seconds: float = 600) -> Session:
        return Session(time.monotonic() + seconds, print, Redactor(), Lifeline())

    def perform(self, step: StepTask, **parameters: Any) -> Ending:
        return step(self.facts, self.context(**parameters)).ending

    def target(self, user: str = "", scope: str = "") -> ssh.Target:
        """How `user` logs in, its commands under `RUN.EPOCH`."""
        ssh.pin(self.folder / "known_hosts", self.facts.host_key)
        return ssh.Target(
            str(self.facts.address),
            int(self.facts.ssh_port or 0),
            user or self.user,
            self.folder / "key",
            self.folder / "known_hosts",
            remote_scope.parse("web-1", scope),
        )

    def shell(self, command: str) -> str:
        """What root's `command` writes on the host."""
        return ssh.run_remote(self.target("root"), command, self.session()).stdout


@contextmanager
def running(folder: Path, kind: HostKind, user: str = "root") -> Iterator[Host]:
    """A host of `kind`, ended and removed afterwards; root and `user` may log in."""
    key, public = ssh.generate_host_key()
    private, host_key = ssh.generate_host_key()
    data = {
        "locale": False,
        "disable_root": False,
        "users": [cloud_init._login(name, public) for name in dict.fromkeys(("root", user))],
        "ssh_keys": {"ed25519_private": private, "ed25519_public": host_key},
    }
    templates.write(folder / "key", key)
    spec = Spec(
        name="web-1",
        kind=kind,
        directory=folder / "sandbox",
        user_data="#cloud-config\n" + templates.to_yaml(data),
        cloud_init=kind is HostKind.FULL,
    )
    try:
        made = api.create(spec, print)
        facts = Facts(address=made.ip_address, ssh_port=made.ssh_port, host_key=host_key)
        host = Host(facts, folder, user, kind)
        poll(lambda: _reachable(host), seconds=120, every=0.5)
        yield host
    finally:
        api.destroy(spec.directory, spec.name, print)


def _reachable(host: Host) -> bool:
    try:
        return host.shell("echo yes") == "yes\n"
    except errors.ToolError:
        return False
