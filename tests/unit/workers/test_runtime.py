"""What a process has once, however many of its threads begin at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config import settings as settings_module
from workers import crypto, runtime
from workers.workspaces import Workspaces


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has nothing yet, with a key of its own; Redis is not asked."""
    crypto.create(tmp_path / "key")
    monkeypatch.setenv("STEPMARK_ENCRYPTION_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("STEPMARK_DATA_DIR", str(tmp_path))
    caches = (settings_module.load, runtime._base_of, runtime._of)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_of_many_threads_that_begin_at_once_one_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand waits begin at once where a worker comes back: each would go through all workspaces."""
    swept: list[float] = []

    def sweep(_: Workspaces) -> None:
        swept.append(time.monotonic())
        time.sleep(0.2)  # so long that all others ask meanwhile

    monkeypatch.setattr(Workspaces, "sweep", sweep)

    with ThreadPoolExecutor(50) as pool:
        found = set(map(id, pool.map(lambda _: runtime.current(), range(50))))

    assert (len(found), len(swept)) == (1, 1)
