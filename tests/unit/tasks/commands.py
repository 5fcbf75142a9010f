"""Programs by script: what is asked is written down, what is answered stands in the test."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from tasks.adapters.process import Command, Completed, Lifeline, Redactor, Session


@dataclass(frozen=True)
class Answer:
    """What a program does. files: written into its folder."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
    files: dict[str, str] = field(default_factory=dict)


class Commands:
    """Stands in for `process.run`. script: answers by the start of the command's text; a list is used up one by one."""

    def __init__(self) -> None:
        self.script: dict[str, Answer | list[Answer]] = {}
        self.asked: list[Command] = []

    @property
    def texts(self) -> list[str]:
        return [_text(command) for command in self.asked]

    def run(self, command: Command, session: Session) -> Completed:
        self.asked.append(command)
        answer = self._answer(_text(command))
        for name, content in answer.files.items():
            path = command.cwd / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        lines = [session.redact(line) for line in (answer.stdout + answer.stderr).splitlines()]
        for line in lines:
            session.write(line)
        return Completed(command, answer.exit_status, answer.stdout, answer.stderr, "\n".join(lines[-50:]), 0.1)

    def _answer(self, text: str) -> Answer:
        starts = [start for start in self.script if text.startswith(start)]
        if not starts:
            raise AssertionError(f"the script has no answer to: {text}")
        answer = self.script[max(starts, key=len)]
        return answer.pop(0) if isinstance(answer, list) else answer


def session(log: list[str] | None = None, seconds: float = 60) -> Session:
    """A session whose lines go to `log`."""
    write = deque[str](maxlen=0).append if log is None else log.append
    return Session(time.monotonic() + seconds, write, Redactor(), Lifeline())


def _text(command: Command) -> str:
    return " ".join((Path(command.argv[0]).name, *command.argv[1:]))
