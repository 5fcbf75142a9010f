"""What the tests of real sandbox hosts share: a login, SSH, and a look for what is left over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.adapters import daemon
from tasks.sandbox.model import HostKind, Instance, Spec

SECONDS = 120.0
SSH = shutil.which("ssh") or "ssh"


@dataclass(frozen=True)
class Login:
    """Key pairs: the operator's in `folder/key`, the host's own in `folder/host`."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Login:
        """New keys in `folder`."""
        for name in ("key", "host"):
            daemon.call(
                ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)), timeout_seconds=SECONDS
            )
        return cls(folder)

    def user_data(self, user: str = "root", extra: Mapping[str, object] | None = None) -> str:
        """A cloud-config that lets the key in."""
        read = {name: (self.folder / name).read_text() for name in ("key.pub", "host", "host.pub")}
        login = {"name": user, "lock_passwd": False, "ssh_authorized_keys": [read["key.pub"].strip()]}
        keys = {"ed25519_private": read["host"], "ed25519_public": read["host.pub"]}
        data = {"disable_root": False, "locale": False, "ssh_deletekeys": True, "users": [login], "ssh_keys": keys}
        return "#cloud-config\n" + json.dumps({**data, **(extra or {})})

    def ssh(self, host: Instance, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run `command`; the host's key must be the one that was given."""
        known = self.folder / f"known-{host.name}"
        known.write_text(f"[{host.ip_address}]:{host.ssh_port} {(self.folder / 'host.pub').read_text()}")
        options = {"UserKnownHostsFile": known, "StrictHostKeyChecking": "yes", "BatchMode": "yes", "LogLevel": "ERROR"}
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        place = ["-p", str(host.ssh_port), "-i", str(self.folder / "key"), f"{user}@{host.ip_address}"]
        argv = [SSH, "-F", "none", *given, *place, command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)

    def wait(self, host: Instance, user: str = "root") -> None:
        """Until a command runs there."""
        deadline = time.monotonic() + SECONDS
        while (tried := self.ssh(host, "true", user)).returncode:
            assert time.monotonic() < deadline, tried.stderr
            time.sleep(0.2)

    def say(self, host: Instance, command: str, user: str = "root") -> str:
        """The command's output; it must succeed."""
        done = self.ssh(host, command, user)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@dataclass(frozen=True)
class Sandbox:
    """A directory for hosts, and their login."""

    directory: Path
    login: Login
    said: list[str] = field(default_factory=list)

    def spec(self, name: str, kind: HostKind, user: str = "root", **options: object) -> Spec:
        """A host with the login's user data."""
        return Spec.model_validate(
            {
                "name": name,
                "kind": kind,
                "directory": self.directory,
                "user_data": self.login.user_data(user),
                **options,
            }
        )

    def left_over(self) -> list[str]:
        """Command lines of processes, and mounts, that still have to do with this directory."""
        needle = str(self.directory)
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if needle in line]
        return [*mounts, *(line for line in map(_described, Path("/proc").glob("[0-9]*")) if needle in line)]


def _described(process: Path) -> str:
    """Arguments and environment of a process; nothing for our own, a zombie, or one that has just gone."""
    if process.name == str(os.getpid()):
        return ""
    try:
        return (process / "cmdline").read_text() + (process / "environ").read_text()
    except OSError:
        return ""
