"""How much a worker takes on, by settings and machine."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.workflows.model import Queue
from workers import capacity

GIB = 1024**3
MEMINFO = "MemTotal:       24683520 kB\nMemFree:        18731008 kB\nMemAvailable:   21941248 kB\n"


@pytest.mark.parametrize(
    ("cores", "free", "expected"), [(2, 24 * GIB, 8), (2, 2 * GIB, 6), (64, 16 * GIB, 54), (1, GIB // 4, 1)]
)
def test_slots_for_tools_by_cores_and_memory(cores: int, free: int, expected: int) -> None:
    assert capacity.tool_slots(cores, free) == expected


def test_settings_go_first() -> None:
    chosen = Settings(tool_slots=3, wait_threads=50)

    assert {queue: capacity.slots(queue, chosen) for queue in Queue} == {Queue.TOOLS: 3, Queue.WAIT: 50}
    assert capacity.slots(Queue.TOOLS, Settings()) == capacity.tool_slots(capacity.cores(), capacity.memory_bytes())


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((), 21941248 * 1024), (("max", "9223372036854771712"), 21941248 * 1024), (("1073741824\n",), GIB)],
)
def test_a_container_has_no_more_memory_than_it_may(limits: tuple[str, ...], expected: int, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    paths = tuple(tmp_path / str(number) for number in range(len(limits)))
    for path, text in zip(paths, limits, strict=True):
        path.write_text(text)

    assert capacity.memory_bytes(tmp_path / "meminfo", (*paths, tmp_path / "none")) == expected


@pytest.mark.parametrize(("hard", "expected"), [(resource.RLIM_INFINITY, 8512), (20_000, 8512), (4096, 4096)])
def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be(hard: int, expected: int) -> None:
    """In a process of its own: a hard limit that was lowered cannot be raised again by everybody."""
    code = f"""
import resource
from workers import capacity
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
hard = most if {hard} == resource.RLIM_INFINITY else {hard}
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
capacity.raise_file_limit(1000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(done.stdout) == expected
    assert ("threads may need" in done.stderr) == (expected < 8512)
