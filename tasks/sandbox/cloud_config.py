"""The part of cloud-config that a host without cloud-init gets. Manual: cloudinit.readthedocs.io, module reference."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import yaml

from tasks import errors


@dataclass(frozen=True)
class User:
    """A login. sudo: its rule, or empty."""

    name: str
    keys: tuple[str, ...] = ()
    shell: str = "/bin/sh"
    sudo: str = ""

    @property
    def home(self) -> str:
        """Its home directory."""
        return "/root" if self.name == "root" else f"/home/{self.name}"


@dataclass(frozen=True)
class File:
    """A file to write. mode: octal, as text."""

    path: str
    content: str
    mode: str = "0644"


@dataclass(frozen=True)
class CloudConfig:
    """What we do of it. commands: shell lines. host_keys: files' content, private and public."""

    users: tuple[User, ...] = ()
    host_keys: tuple[File, ...] = ()
    files: tuple[File, ...] = ()
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def parse(text: str) -> CloudConfig:
    """Read a `#cloud-config`; keys that we do not do are left out.

    Raises:
        SandboxError: it is no YAML mapping, or one of our keys is not of the manual's form.
    """
    try:
        data = yaml.safe_load(text) or {}
        return CloudConfig(
            users=tuple(_user(one) for one in data.get("users", ()) if one != "default"),
            host_keys=_host_keys(data.get("ssh_keys", {})),
            files=tuple(_file(one) for one in data.get("write_files", ())),
            packages=tuple(str(one) for one in data.get("packages", ())),
            commands=tuple(_command(one) for one in data.get("runcmd", ())),
        )
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise errors.SandboxError(f"the user data is no cloud-config: {' '.join(str(error).split())}") from error


def script(config: CloudConfig) -> str:
    """A shell script that makes it so, run as root inside the host."""
    keys = [_written(file) for file in config.host_keys] or ["ssh-keygen -A >/dev/null"]
    users = [line for user in config.users for line in _user_lines(user)]
    files = [_written(file) for file in config.files]
    return "\n".join([*keys, *users, *files, *_package_lines(config.packages), *config.commands, ""])


def _user(one: Any) -> User:
    if isinstance(one, str):
        return User(one)
    sudo = one.get("sudo") or ""
    rule = sudo if isinstance(sudo, str) else "\n".join(sudo)
    return User(str(one["name"]), tuple(one.get("ssh_authorized_keys", ())), one.get("shell", "/bin/sh"), rule)


def _file(one: Any) -> File:
    return File(one["path"], one.get("content", ""), str(one.get("permissions", "0644")))


def _host_keys(keys: dict[str, str]) -> tuple[File, ...]:
    """`ed25519_private` and `ed25519_public` to files; the private one first."""
    files = []
    for name, content in sorted(keys.items()):
        kind, _underscore, half = name.partition("_")
        public = half == "public"
        path = f"/etc/ssh/ssh_host_{kind}_key{'.pub' if public else ''}"
        files.append(File(path, content.strip() + "\n", "0644" if public else "0600"))
    return tuple(files)


def _command(one: Any) -> str:
    return one if isinstance(one, str) else shlex.join(str(word) for word in one)


def _user_lines(user: User) -> list[str]:
    name, home = shlex.quote(user.name), shlex.quote(user.home)
    lines = []
    if user.name != "root":
        # A locked password (`!`) would also refuse the user's key where sshd works without PAM.
        lines.append(f"id {name} >/dev/null 2>&1 || useradd -m -p '*' -s {shlex.quote(user.shell)} {name}")
    keys = _written(File(f"{user.home}/.ssh/authorized_keys", "".join(f"{key}\n" for key in user.keys), "0600"))
    lines += [f"mkdir -p -m 700 {home}/.ssh", keys, f"chown -R {name}: {home}/.ssh"]
    if user.sudo:
        rules = "".join(f"{user.name} {rule}\n" for rule in user.sudo.splitlines())
        lines.append(_written(File(f"/etc/sudoers.d/90-{user.name}", rules, "0440")))
    return lines


def _written(file: File) -> str:
    path = shlex.quote(file.path)
    put = f"install -D -m {shlex.quote(file.mode)} /dev/null {path}"
    return f"{put}\nprintf %s {shlex.quote(file.content)} >{path}"


def _package_lines(packages: tuple[str, ...]) -> list[str]:
    if not packages:
        return []
    names = shlex.join(packages)
    return ["apt-get -q update", f"DEBIAN_FRONTEND=noninteractive apt-get -q -y install -- {names}"]
