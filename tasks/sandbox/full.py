"""Full hosts: a container that boots systemd; services, firewall and Docker inside work. Only the kernel is shared."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from tasks import errors
from tasks.sandbox import cloud_config, image, store
from tasks.sandbox.model import Place, Say

# The kernel's control groups are mounted read-only at first. Both layouts: one directory each, and all in one.
_BOOT = "for m in /sys/fs/cgroup /sys/fs/cgroup/*/; do mount -o remount,bind,rw $m 2>/dev/null; done; exec /sbin/init"
# What systemd and the Docker inside need; the engine's own filters would refuse mounts and session keyrings.
_RIGHTS = (
    *("--cgroupns=private", "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN"),
    *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
    *("--volume=/var/lib/docker", "--tmpfs=/run", "--tmpfs=/run/lock", "--stop-signal=SIGRTMIN+3"),
)
_SEED = "/var/lib/cloud/seed/nocloud"
_NO_PACKAGES = 'Acquire::http::Proxy "http://127.0.0.1:9";\nAcquire::https::Proxy "http://127.0.0.1:9";\n'
_START_SECONDS = 30


def ensure_root(roots_directory: Path, say: Say) -> str:
    """Build the image of all full hosts unless the engine has it; returns its name."""
    return image.ensure(roots_directory, say)


def create(place: Place) -> None:
    """Make it and boot it. One that ran before boots again with what it had on its disk."""
    container, complete = _container(place), place.home / "complete"
    if not (complete.exists() and _state(container)):
        destroy(place)
        _prepare(place, container)
    image.docker("start", container)
    _await_init(container)
    if not complete.exists() and not place.spec.cloud_init:
        _apply(place, container)
    complete.touch()


def alive(place: Place) -> bool:
    """Whether its container runs."""
    return _state(_container(place)) == "running"


def destroy(place: Place) -> None:
    """Remove its container, and the disk of the Docker inside."""
    (place.home / "complete").unlink(missing_ok=True)
    container = _container(place)
    if _state(container):
        image.docker("rm", "--force", "--volumes", container)


def _container(place: Place) -> str:
    """Its container's name: hosts of two sandboxes may have the same name."""
    sandbox = hashlib.sha256(str(place.spec.directory).encode()).hexdigest()[:8]
    return f"stepmark-{sandbox}-{place.spec.name}"


def _state(container: str) -> str:
    """`running`, `created`, `exited`, …; empty if there is none."""
    image.engine_version()  # or else a stopped engine looks like a host that is gone
    found = image.docker("ps", "--all", "--filter", f"name=^{container}$", "--format", "{{.State}}")
    return found.strip()


def _prepare(place: Place, container: str) -> None:
    """The container, not started yet, with what cloud-init will read."""
    spec = place.spec
    published = (f"--publish={place.address}:{spec.ssh_port}:22",) if spec.listen else ()
    names = (f"--name={container}", f"--hostname={spec.name}", f"--label=stepmark.sandbox={spec.directory}")
    name = image.ensure(place.roots, place.say)
    image.docker("create", *names, *_RIGHTS, *published, name, "sh", "-c", _BOOT)
    files = {
        f"{_SEED}/user-data": spec.user_data,
        f"{_SEED}/meta-data": json.dumps({"instance-id": spec.name, "local-hostname": spec.name}),
    }
    without_cloud_init = {} if spec.cloud_init else {"/etc/cloud/cloud-init.disabled": ""}
    without_packages = {} if spec.packages else {"/etc/apt/apt.conf.d/99unreachable": _NO_PACKAGES}
    for path, content in {**files, **without_cloud_init, **without_packages}.items():
        _put(place, container, path, content)


def _put(place: Place, container: str, path: str, content: str) -> None:
    local = place.home / "file"
    store.write(local, content, 0o644 if path.startswith("/etc/") else 0o600)
    image.docker("cp", str(local), f"{container}:{path}")
    local.unlink()


def _await_init(container: str) -> None:
    """Wait until systemd answers: not until it has booted, and long before SSH does.

    Raises:
        SandboxError: it ended, or does not get that far; the text has its last words.
    """
    deadline = time.monotonic() + _START_SECONDS
    while _state(container) == "running" and time.monotonic() < deadline:
        if image.docker("exec", container, "sh", "-c", "test -S /run/systemd/private && echo up || echo no") == "up\n":
            return
        time.sleep(0.05)
    said = image.docker("logs", "--tail", "20", container)
    raise errors.SandboxError("the host does not boot", output_tail=said)


def _apply(place: Place, container: str) -> None:
    """Do what the user data says without cloud-init, which this host is then without."""
    script = cloud_config.script(cloud_config.parse(place.spec.user_data))
    text = f"rm -rf /usr/bin/cloud-init /etc/cloud\n{script}systemctl restart ssh\n"
    image.docker("exec", "--interactive", container, "sh", "-eu", text=text)
