"""Screen: a real `stepmark status --follow`, and when each piece of what it shows arrives."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_LINES, _COLUMNS = 40, 140


class Screen:
    """What an operator sees, on a terminal, or in a file that a pipe leads to. seen: when, and what."""

    def __init__(self, program: Path, variables: Mapping[str, str], *, terminal: bool) -> None:
        self.seen: list[tuple[float, str]] = []
        self._end, theirs = pty.openpty() if terminal else os.pipe()
        if terminal:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [program, "status", "--follow"],
            env={**os.environ, **variables, "TERM": "xterm"},
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, seconds: float) -> None:
        """Until it ends by itself: no run goes on.

        Raises:
            subprocess.TimeoutExpired: it did not.
        """
        self._process.wait(seconds)
        self._reader.join(seconds)

    def end(self) -> None:
        """Have it end."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        left = ""
        while True:
            try:
                read = os.read(self._end, 1 << 16)
            except OSError:  # so a terminal says that nobody writes to it any more
                return
            if not read:
                return
            at = time.time()
            *lines, left = _MOVES.sub("\n", _COLOURS.sub("", left + read.decode(errors="replace"))).split("\n")
            # The last line of a table has no end, and is seen all the same.
            self.seen += [(at, line) for line in (*lines, left) if line.strip()]
