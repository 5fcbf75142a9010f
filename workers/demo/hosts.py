"""The demo's hosts: which kind this machine can make, what it lacks for that, and what is done to them by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks.adapters import cloud_init, daemon, ssh
from tasks.adapters.cloud_init import Keys
from tasks.errors import ConfigurationError, ToolMissingError
from tasks.sandbox import api, control, ladder, store
from tasks.sandbox.model import HostKind, Say, Spec
from workers.demo.surroundings import Surroundings

_INSTALL_SECONDS = 900.0
_TOFU = "one binary: put `tofu` of opentofu.org on PATH"


def kind(may_install: Callable[[tuple[str, ...]], bool], say: Say) -> HostKind:
    """The first rung of the ladder that works here; packages that are missing for it are installed if they may be.

    Raises:
        ConfigurationError: this machine can make no hosts; it says why.
        SandboxError: the packages cannot be installed.
    """
    found = ladder.look()
    wanted = _installable(found)
    if wanted and may_install(wanted):
        say(f"Installing {', '.join(wanted)} …")
        _install(wanted)
        found = ladder.look()
    if found.kind is None:
        reasons = "; ".join(
            f"{rung.kind}: {', '.join(lack.reason for lack in rung.lacks)}"
            for rung in found.rungs
            if rung.kind is not HostKind.FULL
        )
        raise ConfigurationError(f"this machine can make no hosts for the demo: {reasons}")
    return found.kind


def provisioning(settings: Settings) -> bool:
    """Whether OpenTofu is here; else the hosts are started first and registered.

    Raises:
        ToolMissingError: it is not, and this is a CI machine, where nothing may be left out.
    """
    names = (settings.tofu_binary,) if settings.tofu_binary else ("tofu", "terraform")
    if any(shutil.which(name) for name in names):
        return True
    if os.environ.get("CI"):
        raise ToolMissingError(f"neither tofu nor terraform is on PATH, and CI is set: get {_TOFU}")
    return False


def missing_tofu() -> str:
    """What to say where there is none."""
    return (
        "Neither tofu nor terraform is on PATH, so the hosts are not provisioned: they are started now, and then "
        f"registered and configured. To see provisioning, get {_TOFU}."
    )


def start(environments: Iterable[EnvironmentSpec], of_kind: HostKind, around: Surroundings, say: Say) -> None:
    """Make the hosts that are then registered, as somebody else would have.

    Raises:
        SandboxError: one cannot be made.
    """
    for environment in environments:
        declared = environment.provider
        private, public = ssh.generate_host_key()
        login = cloud_init.public_key(around.login_key)
        spec = Spec(
            name=environment.name,
            kind=of_kind,
            directory=around.sandbox,
            ssh_port=declared.ssh_port,
            user_data=cloud_init.user_data(environment, Keys(login, private, public)),
            listen=declared.listen,
        )
        api.create(spec, say)


def open_port(directory: Path, name: str) -> None:
    """Mend the host on which nothing answered: from now on its SSH port is open."""
    with store.lock(directory / "locks" / f"host-{name}"):
        spec = store.load(directory, name)
        if spec is None or spec.address is None:
            raise ConfigurationError(f"there is no host {name} in {directory}")
        store.save(spec.model_copy(update={"listen": True}), spec.address)
        control.close_host(directory, name)
        control.open_host(directory, name)


def remove(directory: Path, say: Say) -> None:
    """Remove every host that is left."""
    if directory.exists():
        for name in store.names(directory):
            api.destroy(directory, name, say)


def _installable(found: ladder.Ladder) -> tuple[str, ...]:
    """Packages that would make the best rung possible; none if it is possible, or lacks something else too."""
    for rung in found.rungs:
        if rung.kind is HostKind.FULL or rung.possible:
            return ()
        if os.geteuid() == 0 and all(lack.install for lack in rung.lacks):
            return tuple(dict.fromkeys(name for lack in rung.lacks for name in lack.install))
    return ()


def _install(packages: tuple[str, ...]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    daemon.call(("apt-get", "update"), timeout_seconds=_INSTALL_SECONDS, env=environment)
    argv = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
    daemon.call(argv, timeout_seconds=_INSTALL_SECONDS, env=environment)
