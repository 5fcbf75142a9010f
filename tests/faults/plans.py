"""Plan: what is to happen to one environment's run, and the marks by which a worker and the driver find each other."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "FAULTS_FOLDER"


@dataclass(frozen=True)
class Plan:
    """At `point` of the first execution of `step`, do `action`.

    seconds: how long the step's program takes in its first execution. deaf: it heeds no signal that can be ignored.
    next_holds: the step after it waits too, at its first execution, until the driver lets all go. gate: the step before
    it waits until the driver opens the gate, so that all runs come to the point together.
    """

    workflow: str
    step: str
    index: int
    point: str
    action: str = "hold"
    seconds: float = 60.0
    deaf: bool = False
    next_holds: bool = False
    gate: bool = False


@dataclass(frozen=True)
class Marks:
    """The files of one environment in the folder that driver and workers share."""

    folder: Path
    environment: str

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.environment}.{name}"

    @property
    def log(self) -> Path:
        """What the environment's programs wrote on this machine."""
        return self._path("log")

    def write(self, plan: Plan) -> None:
        """Keep the plan."""
        self._path("plan").write_text(json.dumps(dataclasses.asdict(plan)))

    def plan(self) -> Plan | None:
        """The plan, if there is one."""
        try:
            return Plan(**json.loads(self._path("plan").read_text()))
        except FileNotFoundError:
            return None

    def once(self, name: str) -> bool:
        """Whether this is the first to ask under this name, of all processes."""
        try:
            os.close(os.open(self._path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def reach(self, name: str = "reached") -> None:
        """Say that this process is there."""
        path = self._path(f"{name}.new")
        path.write_text(json.dumps({"pid": os.getpid(), "at": time.time()}))
        path.replace(self._path(name))

    def reached(self, name: str = "reached") -> tuple[int, float] | None:
        """Which process is there, and since when."""
        try:
            content = json.loads(self._path(name).read_text())
        except FileNotFoundError:
            return None
        return content["pid"], content["at"]

    def open(self, name: str) -> None:
        """Let whoever waits for `name` go on."""
        self._path(name).touch()

    def wait(self, name: str) -> None:
        """Wait until the driver opens it, or for ever: who waits is killed."""
        while not self._path(name).exists():
            time.sleep(0.02)


def marks(environment: str) -> Marks:
    """The marks of an environment, in a worker."""
    return Marks(Path(os.environ[VARIABLE]), environment)
