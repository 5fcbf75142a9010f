"""An apply that was cut off: whether it made a host that no state knows. https://opentofu.org/docs/cli/commands/import/."""

from __future__ import annotations

from pathlib import Path

from tasks.adapters import templates, tofu_folder
from tasks.adapters.tofu_folder import Folder

BEGUN = "apply.begun"
"""Lies in the workspace from the start of an apply until that has ended by itself."""


def begin(folder: Folder) -> None:
    """Note that an apply begins: from now on nobody knows what it has done."""
    templates.write(folder.path / BEGUN, "")


def end(folder: Folder, exit_status: int) -> None:
    """Note that an apply ended; one that a signal ended may have left anything."""
    if exit_status in (0, 1):
        (folder.path / BEGUN).unlink(missing_ok=True)


def doubtful(workspace: Path) -> bool:
    """Whether an apply began here that did not end by itself."""
    return (workspace / BEGUN).exists()


def adopt(folder: Folder, resource: str, name: str) -> None:
    """Take a host that exists into the state, as `resource`; `name` is what the provider calls it.

    Raises: as `tofu_folder.run`.
    """
    arguments = ("import", "-input=false", "-no-color", "-lock-timeout=10s", resource, name)
    tofu_folder.run(folder, *arguments)
