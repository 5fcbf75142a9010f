"""The command line, called in this process, against a real Redis and real workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import scripted
from workers import celery
from workers.cli import main
from workers.runtime import Base


@dataclass(frozen=True)
class Said:
    """How the program ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Stepmark = Callable[..., Said]


@pytest.fixture
def stepmark(base: Base, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stepmark:
    """Run `stepmark` with these arguments. The app of this process is told where Redis is."""
    monkeypatch.setattr(celery, "app", scripted.app)
    monkeypatch.setenv("KEY", "a key, as the workers see it")
    scripted.app.conf.broker_url = base.settings.redis_url.get_secret_value()
    scripted.forget_connections()

    def call(*arguments: str | Path) -> Said:
        capsys.readouterr()
        status = main.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err)

    return call


@pytest.fixture
def fleet(tmp_path: Path) -> Callable[..., Path]:
    """Write a fleet of existing hosts whose labels script their steps."""

    def write(**labels: dict[str, str]) -> Path:
        environments = [
            {"name": name.replace("_", "-"), "provider": {"name": "existing", "address": "127.1.2.3"}, "labels": given}
            for name, given in labels.items()
        ]
        path = tmp_path / "fleet.yaml"
        path.write_text(json.dumps({"defaults": {"ssh": {"key": "env:KEY"}}, "environments": environments}))
        return path

    return write
