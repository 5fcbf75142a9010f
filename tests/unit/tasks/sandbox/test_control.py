"""Where a process like this one finds our modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tasks.sandbox import control


def test_the_folder_that_it_was_started_in_is_no_place_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be another one the next time, and the host would seem to have drifted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/elsewhere", f"{sys.prefix}/lib", str(tmp_path)])

    found = control.python_path().split(os.pathsep)

    ours = str(Path(control.__file__).parents[2])
    assert found == [*([] if ours.startswith(sys.prefix) else [ours]), "/elsewhere"]
