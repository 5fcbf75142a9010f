"""The image of full hosts: Debian's own packages with an init system, built once and kept by the docker engine."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import building, roots, store
from tasks.sandbox.model import Say

_PACKAGES = (
    *roots.PACKAGES,
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod", "locales", "netbase"),
)
_MASKED = (
    *("networking.service", "systemd-udevd.service", "systemd-udev-trigger.service"),
    *("getty.target", "console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer"),
)
# Without `network: disabled` the boot waits for dhclient; without a seed directory a seed cannot be copied in.
_FINISH = f"""set -eu
printf '%s' '{roots.CLOUD}' >"$1/etc/cloud/cloud.cfg.d/95_sandbox.cfg"
mkdir -p "$1/var/lib/cloud/seed/nocloud"
rm -f "$1"/etc/ssh/ssh_host_*
for unit in {" ".join(_MASKED)}; do ln -s /dev/null "$1/etc/systemd/system/$unit"; done
"""
_BUILD_SECONDS = 900.0
_DOCKER_SECONDS = 120.0


def ensure(directory: Path, say: Say) -> str:
    """The image's name, built unless the engine has it; whoever comes while it is built waits.

    Raises:
        SandboxError: no docker engine answers, or the image cannot be built.
        ToolMissingError: docker or mmdebstrap is not on this machine.
    """
    engine_version()
    sources = roots.debian_sources(Path("/etc/apt"))
    name = f"stepmark-host:{_digest(sources)}"
    building.sweep(directory, say)
    with store.lock(directory / "full.lock"):
        if not docker("images", "--quiet", name).strip():
            _build(name, sources, directory, say)
    return name


def engine_version() -> str:
    """The version of the docker engine that answers.

    Raises:
        SandboxError: none does.
    """
    try:
        return docker("version", "--format", "{{.Server.Version}}").strip()
    except errors.SandboxError as error:
        said = f"full hosts need a docker engine that answers: {error}"
        raise errors.SandboxError(said, error.command, error.exit_status, error.output_tail) from error


def docker(*words: str, text: str = "") -> str:
    """Run the docker client with `text` as its input; returns its standard output.

    Raises:
        SandboxError: it failed.
        ToolMissingError: it is not on this machine.
    """
    return daemon.call(("docker", *words), timeout_seconds=_DOCKER_SECONDS, text=text)


def _build(name: str, sources: str, directory: Path, say: Say) -> None:
    say(f"building the image of full hosts, {name} (about a minute, once)")
    began = time.monotonic()
    with building.folder(directory) as folder:
        tar, listed, finish = folder / "root.tar", folder / "machine.list", folder / "finish.sh"
        listed.write_text(sources)
        finish.write_text(_FINISH)
        argv = roots.command(_PACKAGES, tar, listed, f'--customize-hook=sh {finish} "$1"')
        building.run(argv, folder, timeout_seconds=_BUILD_SECONDS)
        docker("import", str(tar), name)
    say(f"built in {time.monotonic() - began:.0f} s")


def _digest(sources: str) -> str:
    recipe = json.dumps([sources, _PACKAGES, _FINISH])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]
