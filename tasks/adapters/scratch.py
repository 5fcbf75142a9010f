"""Scratch: private directories that a killed process does not leave behind for ever."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tasks.adapters import daemon

_MEMORY = Path("/dev/shm")  # noqa: S108 - only a directory of our own below it is used
_MOUNTS = Path("/proc/self/mounts")
# Who made it: its PID namespace, its number there, and when it started. Another namespace's numbers mean nothing here.
_NAME = re.compile(r"stepmark-[a-z]+-(\d+)-(\d+)-(\d+)-\w+")
# The path of a socket is at most 108 bytes: so no long TMPDIR.
_SHORT = Path("/tmp")  # noqa: S108 - the same


@contextmanager
def folder() -> Iterator[Path]:
    """A directory for secrets that a program can only read from a file, while the `with` block lasts.

    It is the owner's only (0700), and in memory, where this machine has such.
    """
    with _kept(_made("key", _root())) as path:
        yield path


@contextmanager
def short_folder(purpose: str) -> Iterator[Path]:
    """The same in `/tmp`, for sockets and for what need not be in memory. purpose: one word, in its name."""
    with _kept(made(purpose)) as path:
        yield path


def made(purpose: str) -> Path:
    """Such a directory that is the caller's to remove."""
    return _made(purpose, _SHORT)


@contextmanager
def _kept(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _made(purpose: str, root: Path) -> Path:
    """A killed process leaves its own behind: each process clears away, once, those of processes that are gone."""
    pid = os.getpid()
    _sweep(root, pid)
    prefix = f"stepmark-{purpose}-{_namespace()}-{pid}-{daemon.started(pid).ticks}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=root))


def _root() -> Path:
    mounts = (line.split()[1:3] for line in _MOUNTS.read_text(encoding="utf-8").splitlines())
    in_memory = [str(_MEMORY), "tmpfs"] in mounts and os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if in_memory else Path(tempfile.gettempdir())


@cache
def _sweep(root: Path, pid: int) -> None:
    del pid  # a forked process sweeps too: it may have been forked because another was killed
    for path in root.glob("stepmark-*"):
        found = _NAME.fullmatch(path.name)
        if found is None:
            continue
        namespace, owner, ticks = map(int, found.groups())
        if namespace == _namespace() and not daemon.alive(daemon.Started(owner, ticks)):
            # Another process may be at it, or it is another user's.
            shutil.rmtree(path, ignore_errors=True)


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
