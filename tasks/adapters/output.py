"""Transcript: what a program writes, kept to parse, and shown line by line without secrets."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

KEEP_BYTES = 16 * 1024 * 1024
LINE_CHARACTERS = 8192
TAIL_LINES = 50
# Of a longer line the rest is only counted. It is redacted with some slack first: half a secret would pass unseen.
_LINE_BYTES = 4 * LINE_CHARACTERS + 4096
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?!.*-----END)")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")


class Transcript:
    """Both streams of a program. tail: the last 50 lines shown."""

    def __init__(self, redact: Callable[[str], str], write: Callable[[str], None]) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._redact = redact
        self._write = write
        self.stdout = Stream(self._show)
        self.stderr = Stream(self._show)

    def close(self) -> None:
        """Show the last lines, if they lack their newline."""
        self.stdout.close()
        self.stderr.close()

    def _show(self, line: str) -> None:
        for part in filter(None, line.split("\r")) if line else ("",):
            self._show_line(self._redact(part))

    def _show_line(self, line: str) -> None:
        if len(line) > LINE_CHARACTERS:
            line = line[:LINE_CHARACTERS] + " … (cut)"
        self.tail.append(line)
        self._write(line)


class Stream:
    """One stream. kept: its first 16 MiB; truncated: there was more. show: takes each line, without its newline."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.kept = bytearray()
        self.truncated = False
        self._show = show
        self._line = bytearray()
        self._in_key = False

    @property
    def text(self) -> str:
        """What was kept; bytes that are no UTF-8 replaced."""
        return self.kept.decode(errors="replace")

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        room = KEEP_BYTES - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._take(line)
            self._flush()
        self._take(rest)

    def close(self) -> None:
        """Show what is left of the last line."""
        if self._line:
            self._flush()

    def _take(self, data: bytes) -> None:
        self._line += data[: _LINE_BYTES - len(self._line)]

    def _flush(self) -> None:
        line = _ESCAPES.sub("", self._line.decode(errors="replace"))
        self._line.clear()
        self._show(self._veil(line))

    def _veil(self, line: str) -> str:
        """Mask the lines of a private key, which the redactor, seeing one line at a time, cannot know for one."""
        if self._in_key:
            self._in_key = not _KEY_ENDS.search(line)
            return "***"
        self._in_key = bool(_KEY_BEGINS.search(line))
        return line
