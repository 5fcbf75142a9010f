"""Which kinds of host this machine can make, and what it lacks for the others."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import image, namespaces, roots
from tasks.sandbox.model import HostKind

_PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Lack:
    """Something that is missing. install: Debian packages that bring it, if any does."""

    reason: str
    install: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rung:
    """A kind of host. It is possible if it lacks nothing."""

    kind: HostKind
    lacks: tuple[Lack, ...]

    @property
    def possible(self) -> bool:
        """Whether this machine can make such hosts."""
        return not self.lacks


@dataclass(frozen=True)
class Ladder:
    """All kinds, the one to take first at the top; a full host is only taken by name, for what it costs."""

    rungs: tuple[Rung, ...]

    @property
    def kind(self) -> HostKind | None:
        """The kind to take where none was asked for; None: this machine can make neither."""
        return next((rung.kind for rung in self.rungs if rung.possible and rung.kind is not HostKind.FULL), None)


def look() -> Ladder:
    """Try it out: nothing is installed or built."""
    return Ladder(
        (
            Rung(HostKind.LIGHT, (*_common(), *_light())),
            Rung(HostKind.ROOTLESS, (*_common(), *_namespaces("--user", "--map-root-user"))),
            Rung(HostKind.FULL, tuple(_full())),
        )
    )


def _common() -> Iterator[Lack]:
    if _missing("ssh"):
        yield Lack("there is no SSH client", ("openssh-client",))
    if _missing("unshare") or _missing("nsenter"):
        yield Lack("unshare and nsenter are missing", ("util-linux",))
    if importlib.util.find_spec("asyncssh") is None:
        yield Lack("the Python package asyncssh is missing: pip install 'stepmark[sandbox]'")


def _light() -> Iterator[Lack]:
    if os.geteuid():
        yield Lack("light hosts need root")
        return
    if _missing("mmdebstrap"):
        yield Lack("mmdebstrap is missing: it builds their root file system", ("mmdebstrap",))
    try:
        roots.debian_sources(Path("/etc/apt"))
    except errors.SandboxError as error:
        yield Lack(str(error))
    yield from _namespaces()


def _namespaces(*user: str) -> Iterator[Lack]:
    """What the kernel, or whoever runs this machine, does not allow."""
    mount = ("sh", "-c", "mount -t tmpfs none /mnt && mount -t proc proc /proc")
    argv = ("unshare", *user, *namespaces.SPACES, "--fork", *mount)
    try:
        daemon.call(argv, timeout_seconds=_PROBE_SECONDS, env={"PATH": daemon.PATH})
    except errors.StepmarkError as error:
        kind = "user namespaces" if user else "namespaces"
        yield Lack(f"{kind} cannot be used here: {error}")


def _full() -> Iterator[Lack]:
    if os.geteuid():
        yield Lack("full hosts need root")
    if _missing("docker"):
        yield Lack("docker is missing", ("docker.io",))
    else:
        yield from _engine()
    if _missing("mmdebstrap"):
        yield Lack("mmdebstrap is missing: it builds their image", ("mmdebstrap",))


def _engine() -> Iterator[Lack]:
    try:
        image.engine_version()
    except errors.StepmarkError as error:
        yield Lack(str(error), ("docker.io",))


def _missing(program: str) -> bool:
    return shutil.which(program, path=daemon.PATH) is None
