"""The commented fleet file that a newcomer starts from."""

from __future__ import annotations

from pathlib import Path


def text() -> str:
    """The file, ready to be written."""
    return Path(__file__).with_name("example.yaml").read_text(encoding="utf-8")
