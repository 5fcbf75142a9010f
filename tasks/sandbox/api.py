"""Make, find and remove sandbox hosts; safe to call from many processes at once."""

from __future__ import annotations

import importlib
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from tasks import errors
from tasks.sandbox import store
from tasks.sandbox.model import Backend, HostKind, Instance, Place, Say, Spec


def backend(kind: HostKind) -> Backend:
    """The module of that kind of host."""
    return cast("Backend", importlib.import_module(f"tasks.sandbox.{kind}"))


def create(spec: Spec, say: Say) -> Instance:
    """Make the host and boot it, unless it is there and runs; a half-made one is repaired.

    Of one that runs, what it is reached through (`listen`, `packages`) becomes as the specification says now.

    Raises:
        SandboxError: it cannot be made, or `fail_boot` says so.
        ConfigurationError: another kind of host has that name.
    """
    spec = _resolved(spec)
    with _lock(spec.directory, spec.name):
        known = store.load(spec.directory, spec.name)
        if known and known.kind is not spec.kind:
            raise errors.ConfigurationError(f"host {spec.name} is there already, as a {known.kind} host")
        place = _place(spec, known, say)
        if spec.fail_boot:
            raise errors.SandboxError(f"host {spec.name} does not boot: fail_boot is set")
        store.save(spec, place.address)
        backend(spec.kind).create(place)
        return _instance(place)


def destroy(directory: Path, name: str, say: Say) -> bool:
    """End the host and remove all of it; whether there was one."""
    directory = directory.expanduser().absolute()
    with _lock(directory, name):
        spec = store.load(directory, name)
        if spec:
            backend(spec.kind).destroy(_place(spec, spec, say))
            shutil.rmtree(store.home(directory, name))
        store.release(directory, name)
        return spec is not None


def status(directory: Path, name: str) -> Instance | None:
    """The host as it is now; None: there is none of that name."""
    directory = directory.expanduser().absolute()
    spec = store.load(directory, name)
    return _instance(_place(spec, spec, _silent)) if spec else None


def instances(directory: Path) -> list[Instance]:
    """All hosts of the sandbox, by name."""
    directory = directory.expanduser().absolute()
    found = (status(directory, name) for name in store.names(directory))
    return [one for one in found if one]


def ensure_root(kind: HostKind, roots: Path, say: Say) -> str:
    """Build what hosts of that kind are made from, unless it is cached; returns its name.

    Raises:
        SandboxError: it cannot be built.
    """
    roots = roots.expanduser().absolute()
    roots.mkdir(mode=0o700, parents=True, exist_ok=True)
    return backend(kind).ensure_root(roots, say)


def _resolved(spec: Spec) -> Spec:
    directories = {"directory": spec.directory.expanduser().absolute(), "roots": spec.roots.expanduser().absolute()}
    for directory in directories.values():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return spec.model_copy(update=directories)


def _lock(directory: Path, name: str) -> AbstractContextManager[None]:
    return store.lock(directory / "locks" / f"host-{name}")


def _place(spec: Spec, known: Spec | None, say: Say) -> Place:
    """The host's place; recorded on disk before anything is made there."""
    home = store.home(spec.directory, spec.name)
    if known is None:
        address = spec.address or store.allot(spec.directory, spec.name, spec.ssh_port)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        store.save(spec, address)
    else:
        address = str(known.address)
    return Place(spec.model_copy(update={"address": address}), address, home, spec.roots, say)


def _instance(place: Place) -> Instance:
    spec = place.spec
    alive = backend(spec.kind).alive(place)
    return Instance(
        name=spec.name,
        image=spec.kind,
        status="running" if alive else "stopped",
        ip_address=place.address,
        ssh_port=spec.ssh_port,
    )


def _silent(_line: str) -> None:
    """Say nothing."""
