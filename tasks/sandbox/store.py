"""The sandbox directory: where its hosts' files, records and locks are, and which address each name has.

hosts/NAME/host.json     the specification without its user data, and the address
hosts/NAME/…             what the host's kind keeps there
locks/NAME.lock          held while a host is made or removed
addresses.json           the address of each name; a name keeps it until the host is destroyed
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tasks.sandbox.model import Spec


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the file `path` against every other process, waiting for it as long as it takes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Put `text` at `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    partial.replace(path)


def home(directory: Path, name: str) -> Path:
    """The host's own directory."""
    return directory / "hosts" / name


def save(spec: Spec, address: str) -> None:
    """Record a host before anything of it is made, so that a half-made one is found."""
    kept = spec.model_copy(update={"address": address}).model_dump_json(exclude={"user_data"})
    write(home(spec.directory, spec.name) / "host.json", kept)


def load(directory: Path, name: str) -> Spec | None:
    """The recorded host, or None. Its user data is not kept here."""
    try:
        return Spec.model_validate_json((home(directory, name) / "host.json").read_text())
    except FileNotFoundError:
        return None


def names(directory: Path) -> list[str]:
    """The names of all recorded hosts, in order."""
    return sorted(path.parent.name for path in (directory / "hosts").glob("*/host.json"))


def allot(directory: Path, name: str, port: int) -> str:
    """The address of `name` in 127.0.0.0/8: the one it has, else one that is free on this machine at `port`."""
    with lock(directory / "locks" / "addresses"):
        addresses = _addresses(directory)
        if name not in addresses:
            taken = set(addresses.values())
            free = (one for one in _candidates(directory, name) if one not in taken and _unused(one, port))
            addresses[name] = next(free)
            write(directory / "addresses.json", json.dumps(addresses, indent=1))
        return addresses[name]


def release(directory: Path, name: str) -> None:
    """Give the name's address back."""
    with lock(directory / "locks" / "addresses"):
        addresses = _addresses(directory)
        if addresses.pop(name, None):
            write(directory / "addresses.json", json.dumps(addresses, indent=1))


def _addresses(directory: Path) -> dict[str, str]:
    try:
        kept: dict[str, str] = json.loads((directory / "addresses.json").read_text())
    except FileNotFoundError:
        return {}
    return kept


def _candidates(directory: Path, name: str) -> Iterator[str]:
    """Spread by directory and name, so that two sandboxes on one machine seldom want the same one; never 127.0.x.x."""
    start = int.from_bytes(hashlib.sha256(f"{directory}\0{name}".encode()).digest()[:6], "big")
    for step in range(254 * 256 * 254):
        rest, last = divmod(start + step, 254)
        rest, third = divmod(rest, 256)
        yield f"127.{1 + rest % 254}.{third}.{1 + last}"


def _unused(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
