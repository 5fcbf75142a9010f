"""What an apply leaves in the workspace that the store did not take. https://opentofu.org/docs/cli/commands/state/push/."""

from __future__ import annotations

from pathlib import Path

from tasks import errors
from tasks.adapters import tofu_folder, tofu_states
from tasks.adapters.tofu_folder import Folder
from tasks.adapters.tofu_states import State

ERRORED = "errored.tfstate"
"""What OpenTofu leaves in the workspace when the store did not take the state after a real change. Never deleted."""

_WAIT = "-lock-timeout=10s"


def errored(workspace: Path) -> list[Path]:
    """The states that lie there and are in no store: `ERRORED`, and `errored-*.tfstate`, which came from elsewhere."""
    return sorted(workspace.glob("errored*.tfstate"))


def salvage(folder: Folder) -> None:
    """Give the store each state that it did not take before; the file is then kept under another name.

    OpenTofu itself refuses to push over a state that has moved on since, or that is another one's. Such a state is
    kept as an orphan, which an operator has to settle.

    Raises:
        StateError: the store takes it in neither way; until it does, nothing may be planned, applied or destroyed here.
        OrphanedStateError: an orphan waits to be settled, this one or another.
    """
    for path in errored(folder.path):
        path.rename(path.with_name(_given(folder, path)))
    folder.orphans.check()


def current(folder: Folder) -> State:
    """What the store has; `EMPTY` if nothing was ever made."""
    text = tofu_folder.run(folder, "state", "pull", quiet=True).completed.stdout
    return tofu_states.read(text.encode()) if text.strip() else tofu_states.EMPTY


def _given(folder: Folder, path: Path) -> str:
    """Give the store one state. The name under which its file is kept from now on."""
    try:
        content = path.read_bytes()
        state = tofu_states.read(content)
    except ValueError as error:
        raise errors.StateError(f"{path.name} in the workspace cannot be read: {error}") from error
    outcome = tofu_folder.attempt(folder, "state", "push", _WAIT, path.name)
    if outcome.completed.exit_status == 0:
        return f"pushed-{state.serial}.tfstate"
    if not outcome.report.overtaken:
        failed = outcome.error()
        summary = f"{path.name} in the workspace, left by an earlier apply, must be saved first: {failed.summary}"
        raise errors.StateError(summary, failed.command, failed.exit_status, failed.output_tail)
    folder.orphans.keep(content)
    return f"orphan-{tofu_states.digest(content)[:8]}.tfstate"
