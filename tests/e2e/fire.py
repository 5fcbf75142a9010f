"""Named points at which a worker, or what it has started, waits to be killed: the first to come there, and no other."""

from __future__ import annotations

import time
from pathlib import Path


def reach(folder: Path, wanted: str, point: str) -> None:
    """At the wanted point, tell of it and wait for leave to go on; elsewhere, and the second time, go on."""
    if point != wanted:
        return
    try:
        (folder / "reached").open("x").close()
    except FileExistsError:
        return
    while not (folder / "go").exists():
        time.sleep(0.02)
