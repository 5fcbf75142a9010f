"""Private directories, and those that killed processes left."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tasks.adapters import scratch

HOLD = """
import sys, time
from pathlib import Path
from tasks.adapters import scratch
scratch._MOUNTS = Path("/dev/null")
with scratch.folder() as folder:
    (folder / "identity").write_text("secret")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No memory to be had: all is made here."""
    mounts, root = tmp_path / "mounts", tmp_path / "tmp"
    mounts.write_text("/dev/sda1 /dev/shm ext4 rw 0 0\n")
    root.mkdir()
    monkeypatch.setattr(scratch, "_MOUNTS", mounts)
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    scratch._sweep.cache_clear()
    return root


def hold(root: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a directory, until it is killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={"TMPDIR": str(root)},
        cwd=Path(scratch.__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def test_it_is_private_and_goes(disk: Path) -> None:
    with scratch.folder() as folder:
        assert (folder.parent, stat.S_IMODE(folder.stat().st_mode)) == (disk, 0o700)
        (folder / "identity").write_text("secret")

    assert list(disk.iterdir()) == []


def test_it_is_in_memory_where_there_is_some(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "shm"
    memory.mkdir()
    monkeypatch.setattr(scratch, "_MEMORY", memory)
    (tmp_path / "mounts").write_text(f"tmpfs {memory} tmpfs rw,nosuid 0 0\n")

    with scratch.folder() as folder:
        assert folder.parent == memory

    assert list(disk.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away_and_nothing_else(disk: Path) -> None:
    child, left = hold(disk)
    other_namespace = disk / "stepmark-key-1-1-1-abc"
    for path in (other_namespace, disk / "stepmark-key-mine"):
        path.mkdir()
    try:
        with scratch.folder():
            assert left.exists()
    finally:
        child.kill()
        child.communicate()
    assert (left / "identity").exists()
    scratch._sweep.cache_clear()

    with scratch.folder() as folder:
        assert sorted(disk.iterdir()) == sorted([folder, other_namespace, disk / "stepmark-key-mine"])
