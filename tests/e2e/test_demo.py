"""`stepmark demo`, as a newcomer runs it: real workers, real hosts, one real failure, mended and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.sandbox import ladder

pytestmark = pytest.mark.skipif(
    ladder.look().kind is None, reason="this machine can make no sandbox hosts: see `stepmark doctor`"
)


def test_the_demo_fails_mends_resumes_and_cleans_up(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "demo", "--mend", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["well"] is True
    assert found["statuses"] == {"up": 5, "show": 0, "resume": 0, "status": 0, "destroy": 0}
    assert done.stderr.startswith("This demo uses ")
    assert "web-3: provision 8/9 wait-ssh-connectivity: timeout" in done.stderr
    assert "web-3 configure: succeeded, configured (partial)" in done.stderr
    assert list(tmp_path.glob("stepmark-demo-*")) == []
