"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config import settings as settings_module
from config.settings import Settings
from tests.support import THOROUGH
from workers import crypto
from workers.demo import redisserver


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the STEPMARK_* variables of whoever runs it, nor the settings that another test has read."""
    for name in os.environ:
        if name.startswith("STEPMARK_") and not name.startswith("STEPMARK_TEST_"):
            monkeypatch.delenv(name)
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis: STEPMARK_TEST_REDIS_URL (its database is emptied!), else one of our own."""
    if given := os.environ.get("STEPMARK_TEST_REDIS_URL"):
        yield given
        return
    with redisserver.running(tmp_path_factory.mktemp("redis")) as url:
        redis.Redis.from_url(url).config_set("loglevel", "verbose")
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a Redis with an empty database."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with an empty Redis and an encryption key; set in the environment too, for child processes."""
    monkeypatch.setenv("STEPMARK_REDIS_URL", redis_url)
    monkeypatch.setenv("STEPMARK_ENCRYPTION_KEY_FILE", str(tmp_path / "encryption.key"))
    monkeypatch.setenv("STEPMARK_DATA_DIR", str(tmp_path / "data"))
    found = settings_module.load()
    crypto.create(found.encryption_key_file)
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is thorough, unless all is asked for."""
    left_out = [] if THOROUGH else [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In CI nothing is skipped: what cannot run there is a failure."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI"):
        terminalreporter.write_line(f"{len(skipped)} skipped, and in CI nothing may be", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED  # pytest has no public way
