"""Rootless hosts: made by a plain user from user namespaces; the machine's programs, files of their own.

Every login is user 0 of the host's user namespace, which is the plain user outside; no other user exists there.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import cloud_config, control, namespaces, store
from tasks.sandbox.model import Place, Say

IMAGE = "machine"
_COPIED = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "os-release", "debian_version", "localtime")
_LINKS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_MADE = (
    "etc",
    "etc/ssh",
    "var/tmp",
    "var/log",
    "var/lib",
    "tmp",
    "home",
    "root",
    "dev",
    "proc",
    "run",
    ".machine",
    "opt",
)
# There is only user 0, so whoever asks to become a user is that user already.
_SUDO = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -u | -g | -p | -C | -h | -r | -t | -T | -U) shift 2 ;;
    --) shift && break ;;
    -*) shift ;;
    *=*) export "$1" && shift ;;
    *) break ;;
    esac
done
exec "$@"
"""
_APPLY_SECONDS = 600.0


def ensure_root(roots: Path, say: Say) -> str:  # noqa: ARG001 - every kind of host is asked alike; this one needs none
    """There is nothing to build: a rootless host shows the machine's own programs."""
    return IMAGE


def create(place: Place) -> None:
    """Make it and boot it. One that ran before boots again with what it had on its disk."""
    complete = place.home / "complete"
    config = cloud_config.parse(place.spec.user_data)
    if not complete.exists():
        destroy(place)
        _prepare(place, config)
    namespaces.start(place, base=":".join(_shown()))
    if not complete.exists():
        _apply(place, config)
    complete.touch()
    control.open_host(place.spec.directory, place.spec.name)


def alive(place: Place) -> bool:
    """Whether its process 1 runs."""
    return namespaces.running(place.home) is not None


def destroy(place: Place) -> None:
    """End it; its mounts go with its process 1."""
    control.close_host(place.spec.directory, place.spec.name)
    namespaces.stop(place.home)
    if (place.home / "root").exists():
        shutil.rmtree(place.home / "root")


def _shown() -> tuple[str, ...]:
    """/usr, and this Python's own directory if the machine has no other."""
    python = sys.base_prefix
    outside = not Path("/usr/bin/python3").exists() and not python.startswith("/usr")
    return ("/usr", python) if outside else ("/usr",)


def _prepare(place: Place, config: cloud_config.CloudConfig) -> None:
    """The host's own directories and a small /etc; /bin and its like point into /usr as on the machine."""
    root = place.home / "root"
    for name in _MADE:
        (root / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in _LINKS:
        if Path("/", name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    for name in filter(lambda one: Path("/etc", one).exists(), _COPIED):
        _copy(Path("/etc", name), root / "etc" / name)
    name = place.spec.name
    logins = [f"{user.name}:x:0:0::{user.home}:{user.shell}" for user in config.users if user.name != "root"]
    small = {
        "etc/passwd": "\n".join(["root:x:0:0:root:/root:/bin/sh", *logins, ""]),
        "etc/group": "root:x:0:\n",
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "opt/sandbox/bin/sudo": _SUDO,
    }
    for path, content in small.items():
        store.write(root / path, content, 0o755 if path.startswith("opt/") else 0o644)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _apply(place: Place, config: cloud_config.CloudConfig) -> None:
    """Do what the user data says, less its packages."""
    first = namespaces.running(place.home)
    if first is None:
        raise errors.SandboxError("the host ended while it was made")
    if config.packages:
        place.say(f"not possible on a rootless host: packages {', '.join(config.packages)}")
    script = cloud_config.script(dataclasses.replace(config, packages=()))
    variables = ("env", "-i", f"PATH={namespaces.ROOTLESS_PATH}", "HOME=/root")
    argv = (*namespaces.enter(first, place.spec.kind), *variables, "sh", "-eu")
    daemon.call(argv, timeout_seconds=_APPLY_SECONDS, text=script)
