"""Workspaces: an environment's files, kept encrypted in Redis; a worker's disk is only a cache of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import redis

from workers.connection import Script
from workers.crypto import Box
from workers.keys import Keys
from workers.tracker import Execution

# Downloaded by init, and made again by it: large, and not a secret.
_LEFT_OUT = ".terraform"
# Written by OpenTofu when its state could not be saved. Until it has been pushed it may be the only record of a host.
_ERRORED = "errored.tfstate"
_NEVER_REMOVED = "errored*.tfstate"
_PAGE = 500


class Workspaces:
    """Brings workspaces to `folder` and back."""

    def __init__(self, client: redis.Redis, keys: Keys, box: Box, folder: Path) -> None:
        self._client = client
        self._keys = keys
        self._box = box
        self._folder = folder
        self._keep = Script(client, "keep")

    def fetch(self, environment: str, kept: str) -> tuple[Path, str]:
        """The environment's directory (0700), with the files as kept, and the digest of what is there.

        kept: the digest of what is kept; empty: nothing is. Redis is asked only if the files here are others.
        """
        path = self._folder / environment
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        here = digest_of(path)
        if here != (kept or digest({})):
            archive = self._client.hget(self._keys.workspace(environment), "archive")
            contents = _unpacked(self._box.open(str(archive), f"the workspace of {environment}")) if archive else {}
            _clear(path)
            _set_aside(path, contents)
            _write(path, contents)
            here = digest_of(path)
        return path, here

    def changed(self, environment: str, before: str) -> tuple[str, str]:
        """Digest and archive of the directory, sealed; both empty if its digest is `before`.

        An empty archive beside a digest: there are no files any more.
        """
        contents = _files(self._folder / environment)
        now = digest(contents)
        if now == before:
            return "", ""
        return now, self._box.seal(_pack(contents)) if contents else ""

    def keep(self, execution: Execution, before: str) -> bool:
        """Store the directory if its digest is not `before`. False: the execution no longer runs, and nothing was."""
        message = execution.identity
        now, archive = self.changed(message.environment, before)
        if not now:
            return True
        keys = (self._keys.run(message.run), self._keys.workspace(message.environment))
        return bool(self._keep(keys, message.token, execution.name, now, archive) == "ok")

    def sweep(self) -> None:
        """Remove the cached directories of environments that have been cleaned since, by whichever worker."""
        left = self._folder.glob("*")
        while page := tuple(islice(left, _PAGE)):
            pipe = self._client.pipeline(transaction=False)
            for path in page:
                pipe.exists(self._keys.workspace(path.name))
                pipe.hget(self._keys.environment(path.name), "run")
            answers = pipe.execute()
            for path, kept, live in zip(page, answers[::2], answers[1::2], strict=True):
                if not kept and not live:
                    _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process sweeps too
        if not any(path.glob(_NEVER_REMOVED)):
            shutil.rmtree(path, ignore_errors=True)


def digest_of(path: Path) -> str:
    """The digest of a directory's files as `keep` compares it."""
    return digest(_files(path))


def digest(contents: dict[str, bytes]) -> str:
    """SHA-256 over names and contents, in hexadecimal."""
    total = hashlib.sha256()
    for name, content in sorted(contents.items()):
        total.update(f"{len(name)}:{name}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def _files(path: Path) -> dict[str, bytes]:
    return {os.path.relpath(file, path): Path(file).read_bytes() for file in _paths(str(path))}


def _paths(folder: str) -> Iterator[str]:
    """All regular files below, links left alone. Each step looks twice: providers have thousands of files."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name != _LEFT_OUT:
                yield from _paths(entry.path)
            elif entry.is_file(follow_symlinks=False) and entry.name != _LEFT_OUT:
                yield entry.path


def _clear(path: Path) -> None:
    for entry in path.iterdir():
        if entry.name == _LEFT_OUT or entry.match(_NEVER_REMOVED):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _pack(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o600
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}


def _set_aside(path: Path, contents: dict[str, bytes]) -> None:
    """Make room for `contents` beside the states that were never saved: no file of theirs may replace one.

    One that another worker has saved since is in `contents` under whatever name, and is not needed any more.
    """
    known = {content for name, content in contents.items() if name.endswith(".tfstate")}
    for left in path.glob(_NEVER_REMOVED):
        content = left.read_bytes()
        if content in known:
            left.unlink()
        elif left.name == _ERRORED and _ERRORED in contents:
            left.rename(path / f"errored-{hashlib.sha256(content).hexdigest()[:8]}.tfstate")


def _write(path: Path, contents: dict[str, bytes]) -> None:
    """Write the files, mode 0600."""
    for name, content in contents.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
