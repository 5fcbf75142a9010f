"""Child processes that live as long as this one: workers under `stepmark worker`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import TypeAlias

from tasks import errors

Child: TypeAlias = subprocess.Popen[bytes]


def start(argv: tuple[str, ...], env: Mapping[str, str]) -> Child:
    """Start `argv`, its output on ours, in a session of its own: a terminal's Ctrl-C reaches it only through us.

    Where the system has `setpriv`, it is terminated when this process is killed.

    Raises:
        ToolMissingError: the program is not there.
    """
    setpriv = shutil.which("setpriv", path=env.get("PATH", os.defpath))
    bound = (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()
    try:
        return subprocess.Popen((*bound, *argv), env=env, stdin=subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError as error:
        raise errors.ToolMissingError(f"{argv[0]} is not on this machine") from error
