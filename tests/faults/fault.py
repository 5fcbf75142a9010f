"""Fault: one way to die: what is done, what it takes from a run, where it cannot be, and when it must be known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from config.settings import Settings
from tasks.errors import Kind
from tasks.failure import Cause
from tasks.workflows.model import Step, Workflow
from workers import reaper, steptask

NEVER = math.inf
# Celery hears at once that a process of its pool dies. If it looks before the process is quite dead, it looks again
# after so long.
POOL_LOOK_SECONDS = 5.0


class Loss(StrEnum):
    """What a fault takes from a run, and so who has to find out."""

    NOTHING = "nothing"  # the run ends as if there had been no fault
    STEP = "step"  # the step ends badly, and its worker says so
    WORKER = "worker"  # nobody renews the lease any more
    MESSAGE = "message"  # a step is due, and its message is gone
    NEXT = "next"  # the lease of the step after it is not renewed any more


class Driver(StrEnum):
    """Who does it: the worker by its plan, or the driver of the matrix when the step is at its point."""

    PLAN = "plan"
    KILL_WORKER = "kill-worker"
    STOP_WORKER = "stop-worker"
    KILL_CHILD = "kill-child"
    KILL_TOOL = "kill-tool"
    KILL_REDIS = "kill-redis"
    CUT = "cut"
    STALL = "stall"
    DUPLICATE = "duplicate"
    REVOKE = "revoke"
    TERMINATE = "terminate"
    CANCEL = "cancel"


# These hit all runs of a worker or of a Redis: each has some of its own.
ALONE = {Driver.KILL_WORKER, Driver.STOP_WORKER, Driver.KILL_REDIS, Driver.CUT, Driver.STALL}


@dataclass(frozen=True)
class Fault:
    """One way to die.

    point, action: of the plan. told: kind and cause with which the step ends, by `Loss.STEP`; no kind: the tool's own.
    effects: how often the step's program has run to its end when the fault strikes, and how often it was begun.
    seconds: how long the program takes if nothing ends it. outage_seconds: of what is cut, killed or stopped; infinite:
    until all runs have ended. lost_reply: the script whose reply is lost. lease_seconds: that all of its group have.
    """

    name: str
    title: str
    point: str
    action: str = "hold"
    driver: Driver = Driver.PLAN
    loss: Loss = Loss.STEP
    told: tuple[Kind | None, Cause] = (Kind.INTERNAL, Cause.RAISED)
    begun: int = 1
    done: int = 0
    seconds: float = 60.0
    deaf: bool = False
    timeout_seconds: float | None = None
    outage_seconds: float = NEVER
    lost_reply: str = ""
    next_holds: bool = False
    needs_next: bool = False
    lease_seconds: float = 2.0

    @property
    def group(self) -> str:
        """The faults that share workers and a Redis."""
        if self.driver in ALONE or self.action == "hang":  # a pool stands still while it replaces many processes
            return self.name
        if self.driver is Driver.KILL_CHILD:  # has a lease of its own
            return self.name
        return "replies" if self.lost_reply else "shared"

    def why_not(self, workflow: Workflow, step: Step) -> str:
        """Why it cannot strike there; empty: it can."""
        if self.needs_next and step is workflow.steps[-1]:
            return "no message follows the last step of a run"
        return ""

    def known_seconds(self, settings: Settings) -> float:
        """By when the system must know, after the fault: at these settings."""
        lease, grace = settings.lease_seconds, settings.grace_seconds
        if self.action == "callback":
            return lease
        if self.action == "hang":
            return 2 * grace + steptask.OVERDUE_SECONDS + settings.renew_seconds
        # The reaper may have died with the worker: then another one begins when its lock expires.
        orphaned = reaper._LOCK_SECONDS if self.driver is Driver.KILL_WORKER else 0.0
        if self.loss is Loss.MESSAGE:
            return 2 * (lease + reaper.LOOK_SECONDS) + orphaned
        if self.deaf:
            return 2 * grace
        if self.driver in (Driver.CANCEL, Driver.TERMINATE):
            return settings.renew_seconds + 2 * grace
        if self.driver is Driver.REVOKE:
            return reaper.LOOK_SECONDS
        if self.driver is Driver.KILL_CHILD:
            return POOL_LOOK_SECONDS
        return {Loss.NOTHING: 0.0, Loss.STEP: 0.0}.get(self.loss, lease)
