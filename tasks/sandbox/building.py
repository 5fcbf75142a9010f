"""Folders in which root file systems are built, and the builds: what they mount, nobody else sees.

A build mounts the machine's own /dev/shm into the root that it makes. In the machine's view, an interrupted build would
leave it there, and whoever empties the cache would empty /dev/shm.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import store
from tasks.sandbox.model import Say

_PREFIX = ".building-"
_SECONDS = 120.0
# A mount namespace and a PID namespace of its own; it dies with whoever started it, however that one ends.
_ALONE = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child", "--"),
)


@contextlib.contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed after the block. No sweep touches it while the block runs."""
    with _looking(parent):
        path = Path(tempfile.mkdtemp(dir=parent, prefix=_PREFIX))
        held = _hold(path)
    try:
        yield path
    finally:
        with contextlib.suppress(errors.SandboxError):  # the next sweep removes it
            _remove(path)
        if held is not None:
            os.close(held)


def run(argv: tuple[str, ...], path: Path, *, timeout_seconds: float) -> None:
    """Build with `argv`, temporary files in `path`. No mount of it is seen outside, and it does not outlive us.

    Raises: as `daemon.call`.
    """
    env = {"PATH": daemon.PATH, "TMPDIR": str(path)}
    try:
        daemon.call((*_ALONE, *argv), timeout_seconds=timeout_seconds, env=env)
    except errors.SandboxError as error:  # people are told of the program itself
        said = error.summary.replace(_ALONE[0], argv[0], 1)
        raise errors.SandboxError(said, shlex.join(argv), error.exit_status, error.output_tail) from error


def sweep(parent: Path, say: Say) -> None:
    """Remove what builds that were interrupted have left in `parent`; what is mounted there is unmounted first."""
    if not any(parent.glob(f"{_PREFIX}*")):
        return
    with _looking(parent):
        for path in sorted(parent.glob(f"{_PREFIX}*")):
            held = _hold(path)
            if held is None:
                continue
            try:
                _remove(path)
                say(f"removed {path}, which a build that was interrupted had left")
            except errors.SandboxError as error:
                say(f"{path} is left of a build that was interrupted, and cannot be removed: {error}")
            finally:
                os.close(held)


def _looking(parent: Path) -> contextlib.AbstractContextManager[None]:
    """Between a folder's making and its hold nobody sweeps."""
    return store.lock(parent / "building.lock")


def _hold(path: Path) -> int | None:
    """A descriptor that holds the folder as long as it is open; None: its build goes on."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(path: Path) -> None:
    """Remove the folder, and nothing that is mounted in it.

    Raises:
        SandboxError: something stays mounted there, or it cannot be removed.
    """
    for place in _mounts(path):
        # Else the end of a mount in a copy of /sys would be its end in /sys itself.
        daemon.call(("mount", "--make-rprivate", place), timeout_seconds=_SECONDS)
    for place in reversed(_mounts(path)):
        daemon.call(("umount", place), timeout_seconds=_SECONDS)
    if left := _mounts(path):
        raise errors.SandboxError(f"{left[0]} is mounted")
    # Not shutil.rmtree, which would go on into whatever is mounted meanwhile.
    daemon.call(("rm", "-rf", "--one-file-system", "--", str(path)), timeout_seconds=_SECONDS)


def _mounts(path: Path) -> list[str]:
    """Where something is mounted below `path`, the outermost first. A line: `47 27 0:24 / /the/place rw …`."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    places = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines]
    below = f"{path.resolve()}/"
    return sorted((place for place in places if place.startswith(below)), key=lambda place: place.count("/"))
