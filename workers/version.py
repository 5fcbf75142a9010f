"""Which version of Stepmark this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def number() -> str:
    """The installed version, or words that say that there is none."""
    try:
        return version("stepmark")
    except PackageNotFoundError:
        return "of a checkout that is not installed"
