"""Light hosts: a root file system of their own (an overlay), a network of their own, real sshd, apt and firewall."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import cloud_config, control, namespaces, roots, store
from tasks.sandbox.model import Place, Say

_STAGES = "init --local", "init", "modules --mode=config", "modules --mode=final"
_BOOT = "; ".join(f"cloud-init {stage}" for stage in _STAGES)
_APPLY_SECONDS = 600.0


def ensure_root(roots_directory: Path, say: Say) -> str:
    """Build the root of all light hosts unless it is cached; returns its name."""
    return roots.ensure(roots_directory, say).name


def create(place: Place) -> None:
    """Make it and boot it. One that ran before boots again with what it had on its disk."""
    base = roots.ensure(place.roots, place.say)
    complete = place.home / "complete"
    if not complete.exists():
        destroy(place)
        _prepare(place)
    namespaces.start(place, base=str(base), boot=_BOOT if place.spec.cloud_init else "")
    if not complete.exists() and not place.spec.cloud_init:
        _apply(place)
    complete.touch()
    control.open_host(place.spec.directory, place.spec.name)


def alive(place: Place) -> bool:
    """Whether its process 1 runs."""
    return namespaces.running(place.home) is not None


def destroy(place: Place) -> None:
    """End it; its mounts and its network go with its process 1."""
    control.close_host(place.spec.directory, place.spec.name)
    namespaces.stop(place.home)
    for name in ("up", "work", "root"):
        if (place.home / name).exists():
            shutil.rmtree(place.home / name)


def _prepare(place: Place) -> None:
    """The host's own layer: what cloud-init will read, and its name."""
    if set(str(place.home)) & set(',:\\"'):
        raise errors.SandboxError(f'a light host cannot be in {place.home}: the path has one of , : \\ "')
    for name in ("up", "work", "root"):
        (place.home / name).mkdir(mode=0o755)
    name, seed = place.spec.name, place.home / "up/var/lib/cloud/seed/nocloud"
    if place.spec.cloud_init:
        store.write(seed / "user-data", place.spec.user_data)
        store.write(seed / "meta-data", json.dumps({"instance-id": name, "local-hostname": name}))
    store.write(place.home / "up/etc/hostname", f"{name}\n", 0o644)
    store.write(place.home / "up/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n", 0o644)


def _apply(place: Place) -> None:
    """Do what the user data says without cloud-init, which this host is then without."""
    first = namespaces.running(place.home)
    if first is None:
        raise errors.SandboxError("the host ended while it was made")
    script = cloud_config.script(cloud_config.parse(place.spec.user_data))
    argv = (*namespaces.enter(first, place.spec.kind), "env", "-i", f"PATH={daemon.PATH}", "HOME=/root", "sh", "-eu")
    text = f"rm -rf /usr/bin/cloud-init /etc/cloud\n{script}"
    daemon.call(argv, timeout_seconds=_APPLY_SECONDS, text=text)
