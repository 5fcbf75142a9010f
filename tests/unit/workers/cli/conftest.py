"""Fixtures of the command line's unit tests: the program is called in this process, and no Redis is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workers.cli import main


@dataclass(frozen=True)
class Said:
    """How the program ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Stepmark = Callable[..., Said]


@pytest.fixture
def stepmark(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stepmark:
    """Run `stepmark` with these arguments, in an empty folder, where nothing listens at Redis's address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPMARK_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("STEPMARK_ENCRYPTION_KEY_FILE", str(tmp_path / "keys" / "encryption.key"))
    monkeypatch.setenv("STEPMARK_DATA_DIR", str(tmp_path / "data"))

    def call(*arguments: str) -> Said:
        status = main.main(arguments)
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err)

    return call
