from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from config import settings
from workers import pulse


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pulse file of the settings."""
    path = tmp_path / "pulse"
    monkeypatch.setenv("STEPMARK_PULSE_FILE", str(path))
    return path


class Timer:
    """Stands in for the worker's timer: what it was told to repeat."""

    def __init__(self) -> None:
        self.repeated: list[object] = []

    def call_repeatedly(self, seconds: float, function: object) -> SimpleNamespace:
        entry = (seconds, function)
        self.repeated.append(entry)
        return SimpleNamespace(cancel=lambda: self.repeated.remove(entry))


def test_pulse_beats_from_start_to_stop(file: Path) -> None:
    timer = Timer()
    parent = SimpleNamespace(timer=timer)
    part = pulse.Pulse(parent)

    part.start(parent)
    while_connected = list(timer.repeated)
    part.stop(parent)

    assert file.exists()
    assert while_connected == [(5.0, pulse.touch)]
    assert timer.repeated == []


def test_without_a_file_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    pulse.touch()

    assert settings.load().pulse_file is None
    assert list(tmp_path.iterdir()) == []
