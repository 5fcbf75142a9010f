"""Workspaces in a real Redis, and the directories of them that a worker's processes share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workers import crypto
from workers.runtime import Base
from workers.workspaces import Workspaces


def test_many_processes_sweep_at_once(base: Base, tmp_path: Path) -> None:
    """Each process of a pool sweeps at its first step; that another was faster is no failure of the step."""
    folder, threads = tmp_path / "workspaces", 8
    for number in range(200):
        (folder / f"web-{number}" / "inner").mkdir(parents=True)
    spaces = Workspaces(base.client, base.keys, crypto.load(base.settings.encryption_key_file), folder)
    together = threading.Barrier(threads)

    def sweep() -> None:
        together.wait()
        spaces.sweep()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(sweep) for _ in range(threads)]:
            done.result()

    assert list(folder.iterdir()) == []
