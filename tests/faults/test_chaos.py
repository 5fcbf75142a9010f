"""A short run of the chaos driver; `python benchmarks/chaos.py --seconds 600` is a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.faults.chaos_workflow import TOOL
from tests.support import REPOSITORY, poll


def test_after_a_storm_all_is_as_it_must_be(tmp_path: Path) -> None:
    argv = (sys.executable, "-m", "tests.faults.chaos", "--seed", "11", "--seconds", "30", "--runs", "100")
    done = subprocess.run((*argv, "--folder", str(tmp_path)), cwd=REPOSITORY, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "all is as it must be" in done.stdout


def test_the_host_sees_two_at_once(tmp_path: Path) -> None:
    """Or the driver could never find that it happened: also when the first one has left a process behind."""
    (tmp_path / "hosts").mkdir()
    environment = os.environ | {"CHAOS_FOLDER": str(tmp_path)}

    def start(scope: str, seconds: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(("sh", "-c", TOOL, "tool", "web-1", "first", scope, seconds, "0"), env=environment)

    first = start("run.1", "5")
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    poll((tmp_path / "host.log").exists)
    poll(children.read_text)  # it has started something after that, which lives on
    first.kill()
    start("run.2", "0").wait()

    lines = (tmp_path / "host.log").read_text().splitlines()
    assert lines == [
        "start web-1 first run.1 5 0",
        "overlap web-1 first run.2 0 0",
        "start web-1 first run.2 0 0",
        "end web-1 first run.2 0 0",
    ]
