"""Trial: one cell's run, from its launch to its end, and what was seen of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from config.fleet import EnvironmentSpec
from tasks.failure import RunStatus
from tests.faults import proxy
from tests.faults.cells import Cell
from tests.faults.fault import ALONE, Driver
from tests.faults.plans import Marks, Plan
from tests.faults.proxy import Command, LostReply
from tests.faults.site import Site
from workers.launch import Launcher, Request
from workers.tracker import Place, Tracker

ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
KNOWN = frozenset({RunStatus.LOST, RunStatus.WAITING, RunStatus.FAILED, RunStatus.CANCELLED})


class Said(BaseModel):
    """What the system said of one bad end, in a trace or in the run."""

    step: str
    index: int
    kind: str
    cause: str


class Seen(BaseModel):
    """All that was seen of a cell. Times are Unix seconds; the log's lines are those of the programs, on their host."""

    environment: str
    status: str = ""
    state: str = ""
    live: str | None = None
    said: tuple[Said, ...] = ()
    failure: Said | None = None
    events: tuple[dict[str, str], ...] = ()
    log: tuple[str, ...] = ()
    struck_at: float | None = None
    known_at: float | None = None
    left: tuple[str, ...] = ()
    problem: str = ""


@dataclass(eq=False)
class Trial:
    """One cell on its way."""

    cell: Cell
    marks: Marks
    place: Place | None = None
    struck_at: float | None = None
    known_at: float | None = None
    ended: bool = False
    problem: str = ""
    lost: LostReply | None = None
    begun_at: float = 0.0
    sent_at: float = 0.0

    @classmethod
    def of(cls, cell: Cell, folder: Path) -> Trial:
        """A trial that has not begun."""
        return cls(cell, Marks(folder, cell.environment))

    def launch(self, launcher: Launcher, workflow: str) -> Place:
        """Launch a workflow on the cell's environment."""
        return launcher.launch(Request(self._spec(), (workflow,), "tester@here", "test"))

    def begin(self, site: Site, launcher: Launcher) -> None:
        """Write the plan, and launch."""
        fault = self.cell.fault
        self.begun_at = time.monotonic()
        plan = Plan(
            workflow=self.cell.workflow,
            step=self.cell.step.name,
            index=self.cell.index,
            point=fault.point,
            action=fault.action,
            seconds=fault.seconds,
            deaf=fault.deaf,
            next_holds=fault.next_holds,
            gate=fault.driver in ALONE,
        )
        self.marks.write(plan)
        if fault.lost_reply:
            self.lost = site.proxy.lose_reply(self._call(site.base.tracker, fault.lost_reply, site))
        self.place = self.launch(launcher, self.cell.workflow)

    def _spec(self) -> EnvironmentSpec:
        fault, cell = self.cell.fault, self.cell
        timeouts = {cell.step.name: fault.timeout_seconds} if fault.timeout_seconds else {}
        return EnvironmentSpec.model_validate(
            {
                "name": cell.environment,
                "provider": {"name": "existing", "address": "127.1.2.3"},
                "ssh": {"key": "env:KEY"},
                "parameters": {"timeouts": timeouts},
            }
        )

    def _call(self, tracker: Tracker, script: str, site: Site) -> Any:
        """Whether a command is this cell's call of the script."""
        digest = getattr(tracker, f"_{script}")._script.sha
        calls, environment = proxy.script_call(digest), site.base.keys.environment(self.cell.environment).encode()
        step, execution = self.cell.step.name.encode(), f".1.{self.cell.index}.1.".encode()

        def matches(command: Command) -> bool:
            if not calls(command) or environment not in command:
                return False
            if script == "start":
                return step in command
            return script == "fail" or any(execution in word for word in command[3:])

        return matches

    def ready(self) -> bool:
        """Whether the run is where the fault is to strike."""
        if self.cell.fault.next_holds and not self.marks.reached("next"):
            return False
        return self.marks.reached() is not None

    def look(self, record: Any, events: list[Mapping[str, str]]) -> None:
        """Note what is known of the run by now."""
        if self.struck_at is None:
            self._struck(events)
        at = self.struck_at
        if at is not None and self.known_at is None:
            told = [float(e["at"]) for e in events if e["event"] in _TELLING and float(e["at"]) >= at - 0.05]
            if told or record.display in KNOWN:
                self.known_at = min([*told, time.time()])
        self.ended = record.status in ENDED

    def _struck(self, events: list[Mapping[str, str]]) -> None:
        """When a fault struck that is not the driver's doing."""
        fault = self.cell.fault
        if self.lost:
            self.struck_at = time.time() if self.lost.done.is_set() else None
        elif fault.driver is Driver.REVOKE:  # its message was discarded as soon as it came
            due = ("launched", 1) if self.cell.index == 1 else ("step-ended", self.cell.index - 1)
            found = [float(each["at"]) for each in events if (each["event"], int(each["index"])) == due]
            self.struck_at = max(self.sent_at, *found) if found else None
        elif fault.driver is Driver.PLAN and (reached := self.marks.reached()):
            self.struck_at = reached[1] + (fault.timeout_seconds or 0.0)


_TELLING = ("step-failed", "run-failed", "taken-over", "sent-again")
