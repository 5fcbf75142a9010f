"""Place: where a benchmark runs: a Redis of its own, the machine in words, and the page that its figures go to."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import redis

from benchmarks.kernel import shape, steps
from tests.faults import server
from workers import crypto

MARK = "<!-- What follows is written by {}. -->"


@contextmanager
def opened() -> Iterator[tuple[Path, redis.Redis]]:
    """A folder, and a Redis with an AOF that is synced each second; named in this process's environment.

    The AOF is not rewritten meanwhile: a measurement would bear what others have written.
    """
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as name:
        folder = Path(name)
        options = {"appendfsync": "everysec", "auto_aof_rewrite_percentage": "0"}
        with server.running(folder / "redis", **options) as running:
            os.environ |= {
                "STEPMARK_REDIS_URL": running.url,
                "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
                "STEPMARK_DATA_DIR": str(folder / "data"),
                steps.COUNT_FILE: str(folder / "count"),
                steps.NAMES: ",".join(shape.STEPS),
            }
            crypto.create(folder / "encryption.key")
            yield folder, running.client


def machine(client: redis.Redis) -> str:
    """What the figures hold for."""
    models = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis"))
    server_version = client.info("server")["redis_version"]  # type: ignore[index]  # of a synchronous client
    return (
        f"{os.cpu_count()} cores ({models[0] if models else platform.machine()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, {packages}, redis-server {server_version} (AOF, everysec)"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def write(page: Path, script: str, text: str) -> None:
    """Put the figures into the page, after its mark."""
    mark = MARK.format(script)
    page.write_text(f"{page.read_text().partition(mark)[0]}{mark}\n\n{text}\n")
