from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config import fleet
from config.errors import FleetFileError
from config.fleet import Fleet


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Fleet]:
    """Load a fleet file with this text."""

    def from_text(text: str) -> Fleet:
        path = tmp_path / "fleet.yaml"
        path.write_text(text, encoding="utf-8")
        return fleet.load(path)

    return from_text


@pytest.fixture
def problems(load: Callable[[str], Fleet]) -> Callable[[str], list[tuple[int, int, str, str]]]:
    """Line, column, path and message of all that is wrong with a fleet file of this text."""

    def from_text(text: str) -> list[tuple[int, int, str, str]]:
        with pytest.raises(FleetFileError) as caught:
            load(text)
        return [(found.line, found.column, found.path, found.message) for found in caught.value.problems]

    return from_text
