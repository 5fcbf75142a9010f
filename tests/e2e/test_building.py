"""A real build of a root file system that is interrupted, and the sweep of what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters import daemon
from tasks.sandbox import building, ladder
from tasks.sandbox.model import HostKind
from tests.support import poll

LACKS = next(rung.lacks for rung in ladder.look().rungs if rung.kind is HostKind.LIGHT)
pytestmark = pytest.mark.skipif(bool(LACKS), reason="; ".join(lack.reason for lack in LACKS) or "possible")


def call(*argv: str | Path) -> None:
    daemon.call(tuple(map(str, argv)), timeout_seconds=30)


def mounts(process: Path, folder: Path) -> list[str]:
    """Where something is mounted below the folder, as the process sees it; the innermost first."""
    try:
        lines = (process / "mountinfo").read_text().splitlines()
    except OSError:  # it has gone
        return []
    return sorted({line.split()[4] for line in lines if f" {folder}/" in line}, key=len, reverse=True)


def processes(folder: Path) -> list[Path]:
    """The processes that have the folder in their command line, this one aside."""
    found = [path for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid())]
    return [path for path in found if str(folder) in words(path)]


def words(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Path]:
    """A cache of its own. Nothing may stay mounted there: whoever removes old test folders would follow it."""
    yield tmp_path
    for place in mounts(Path("/proc/self"), tmp_path):
        call("mount", "--make-private", place)
        call("umount", place)


def test_a_build_that_is_killed_leaves_nothing_mounted(roots: Path) -> None:
    argv = [sys.executable, "-m", "tasks.sandbox", "roots", "light", "--roots", str(roots)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as builder:

        def in_the_middle() -> bool:
            """It has mounted what it needs, wherever that is seen."""
            return any(place.endswith("/dev/shm") for each in processes(roots) for place in mounts(each, roots))

        poll(in_the_middle, seconds=300)
        seen = mounts(Path("/proc/self"), roots)
        builder.send_signal(signal.SIGKILL)

    assert seen == mounts(Path("/proc/self"), roots) == []
    poll(lambda: not processes(roots))
    (left,) = roots.glob(".building-*")
    assert (left / "root/usr").is_dir()

    said: list[str] = []
    building.sweep(roots, said.append)
    assert said == [f"removed {left}, which a build that was interrupted had left"]
    assert not left.exists()


def test_a_sweep_removes_nothing_that_is_mounted(roots: Path) -> None:
    """As builds do that mount in everybody's view; here a copy whose inner mount is the machine's own too."""
    machine, left = roots / "machine", roots / ".building-abc/root/sys"
    for path in (machine, left):
        path.mkdir(parents=True)
    call("mount", "-t", "tmpfs", "none", machine)
    call("mount", "--make-shared", machine)
    (machine / "inner").mkdir()
    call("mount", "-t", "tmpfs", "none", machine / "inner")
    (machine / "inner/precious").touch()
    call("mount", "--rbind", machine, left)

    building.sweep(roots, lambda _line: None)

    assert not (roots / ".building-abc").exists()
    assert (machine / "inner/precious").exists()


def test_what_cannot_be_unmounted_is_left_and_named(roots: Path) -> None:
    left = roots / ".building-abc"
    (left / "root").mkdir(parents=True)
    call("mount", "-t", "tmpfs", "none", left / "root")
    said: list[str] = []

    with (left / "root/in use").open("w"):
        building.sweep(roots, said.append)

    assert (left / "root/in use").exists()
    assert f"{left} is left of a build that was interrupted, and cannot be removed: umount failed" in said[0]
