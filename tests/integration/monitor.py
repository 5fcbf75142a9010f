"""Monitor: every command that a Redis is given while a block lasts, and by which connection."""

from __future__ import annotations

import hashlib
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files

import redis

# 1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
_LINE = re.compile(r"[\d.]+ \[\d+ (?P<by>[^]]+)\] (?P<words>.*)")
_INSIDE = "lua"


@dataclass(frozen=True)
class Command:
    """One command. by: the address that it came from. name: in capitals; of a script of ours, its file's name."""

    by: str
    name: str


@dataclass
class Heard:
    """The commands in their order, those within scripts aside."""

    commands: list[Command] = field(default_factory=list)

    def of(self, *names: str) -> list[Command]:
        """All commands of those connections that have ever sent one of these."""
        those = {command.by for command in self.commands if command.name in names}
        return [command for command in self.commands if command.by in those]


@contextmanager
def listening(url: str) -> Iterator[Heard]:
    """Listen while the block lasts; what was heard is complete after it."""
    heard, known = Heard(), _scripts()
    with redis.Redis.from_url(url, decode_responses=True) as client, client.monitor() as monitor:
        ended = threading.Event()
        thread = threading.Thread(target=_listen, args=(monitor, heard, known, ended), daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            with redis.Redis.from_url(url) as last:
                last.echo(_LAST)
            ended.wait(30)
            thread.join(30)


_LAST = "the last command"


def _listen(monitor: redis.client.Monitor, heard: Heard, known: dict[str, str], ended: threading.Event) -> None:
    while True:
        line = str(monitor.connection.read_response())
        if _LAST in line:
            ended.set()
            return
        if (found := _LINE.match(line)) and found["by"] != _INSIDE:
            words = shlex.split(found["words"].replace("\\x", "x"))[:2]
            name = known.get(words[-1], words[0].upper())
            heard.commands.append(Command(found["by"], name))


def _scripts() -> dict[str, str]:
    """The digests of our scripts, as they are called by, with their names."""
    folder = files("workers") / "lua"
    row, common = ((folder / f"{name}.lua").read_text(encoding="utf-8") for name in ("row", "common"))
    found = {}
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        for whole in (text, row + text, row + common + text):
            digest = hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()
            found[digest] = file.name.removesuffix(".lua")
    return found
