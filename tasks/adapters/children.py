"""Child processes that live as long as this one: workers under `stepmark worker`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from typing import TypeAlias

from tasks import errors

Child: TypeAlias = subprocess.Popen[bytes]


def tied(argv: tuple[str, ...]) -> tuple[str, ...]:
    """`argv`, told to terminate when the process that starts it is killed, where the system has `setpriv`."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--", *argv) if setpriv else argv


def start(argv: tuple[str, ...], env: Mapping[str, str], *, output: int | None = None) -> Child:
    """Start `argv` in a session of its own, so that a terminal's Ctrl-C reaches it only through us; tied to us.

    output: the file descriptor that its standard output goes to; None: ours.

    Raises:
        ToolMissingError: the program is not there.
    """
    try:
        return subprocess.Popen(tied(argv), env=env, stdin=subprocess.DEVNULL, stdout=output, start_new_session=True)
    except FileNotFoundError as error:
        raise errors.ToolMissingError(f"{argv[0]} is not on this machine") from error
