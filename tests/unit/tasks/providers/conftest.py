from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks.context import Options, StepContext
from tests.unit.tasks import commands
from tests.unit.tasks.api import Api, serving


@contextmanager
def _no_state() -> Iterator[Mapping[str, str]]:
    yield {}


@pytest.fixture
def context(tmp_path: Path) -> Callable[[EnvironmentSpec], StepContext]:
    """A step's surroundings for an environment, whose programs are whatever the test says."""

    def of(environment: EnvironmentSpec) -> StepContext:
        state: Callable[[], AbstractContextManager[Mapping[str, str]]] = _no_state
        return StepContext(environment, tmp_path, Settings(), commands.session(), Options(), state)

    return of


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A provider's API on loopback."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as api:
        yield api
