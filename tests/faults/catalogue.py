"""All faults of the matrix, as data: what is done, what it takes from a run, and where it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from config.settings import Settings
from tasks.errors import Kind
from tasks.failure import Cause
from tasks.workflows.model import Step, Workflow
from workers import reaper, steptask

NEVER = math.inf


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
    until all runs have ended. lost_reply: the script whose reply is lost.
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

    @property
    def group(self) -> str:
        """The faults that share workers and a Redis."""
        if self.driver in ALONE:
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
        if self.loss is Loss.MESSAGE:
            return 2 * (lease + reaper.LOOK_SECONDS)
        if self.deaf:
            return 2 * grace
        if self.driver is Driver.CANCEL:
            return settings.renew_seconds + 2 * grace
        return {Loss.NOTHING: 0.0, Loss.STEP: 0.0}.get(self.loss, lease)


_COMMAND = (Kind.COMMAND_EXECUTION, Cause.RAISED)
_TIMEOUT = (Kind.TIMEOUT, Cause.TIMED_OUT)
_KILLED = (Kind.WORKER_LOST, Cause.KILLED)
_CANCELLED = (Kind.CANCELLED, Cause.CANCELLED)
_IN_TOOL = "in-tool"
_ENDS_SECONDS = 3.0


def _raised() -> tuple[Fault, ...]:
    return (
        Fault("exception", "the step raises an exception", "body", "same", told=_COMMAND, done=1),
        Fault("unpicklable", "the step raises an exception that cannot be pickled", "body", "unpicklable", done=1),
        Fault(
            "passing",
            "the step raises an exception that may be tried again",
            "body",
            "passing",
            told=(Kind.NETWORK_CONNECTIVITY, Cause.RAISED),
            done=1,
        ),
        Fault("memory", "MemoryError in the step", "body", "memory", told=_KILLED, done=1),
        Fault(
            "callback",
            "the step raises, and the error callback raises too",
            "body",
            "callback",
            loss=Loss.WORKER,
            done=1,
        ),
        Fault("trace", "the step raises, and the trace store refuses the trace", "body", "trace", told=_COMMAND, done=1),
    )


def _deadlines() -> tuple[Fault, ...]:
    return (
        Fault("soft-deadline", "soft deadline: the tool heeds the interrupt", _IN_TOOL, told=_TIMEOUT, timeout_seconds=1.5),
        Fault(
            "hard-deadline",
            "hard deadline: the tool is deaf to INT and TERM",
            _IN_TOOL,
            told=_TIMEOUT,
            deaf=True,
            timeout_seconds=1.5,
        ),
        Fault(
            "hang",
            "hard deadline: our own code hangs",
            "body",
            "hang",
            told=_TIMEOUT,
            done=1,
            timeout_seconds=1.5,
        ),
    )


def _kills() -> tuple[Fault, ...]:
    worker = Driver.KILL_WORKER
    return (
        Fault("child", "SIGKILL to the pool's child", _IN_TOOL, driver=Driver.KILL_CHILD, told=_KILLED),
        Fault("tool", "SIGKILL to the tool, as for lack of memory", _IN_TOOL, driver=Driver.KILL_TOOL, told=(None, Cause.KILLED)),
        Fault(
            "worker-acknowledged",
            "SIGKILL to the whole worker after the acknowledgement",
            "acknowledged",
            driver=worker,
            loss=Loss.MESSAGE,
            begun=0,
        ),
        Fault(
            "worker-started",
            "SIGKILL to the whole worker after the recorded start",
            "started",
            driver=worker,
            loss=Loss.WORKER,
            begun=0,
        ),
        Fault("worker", "SIGKILL to the whole worker in the tool", _IN_TOOL, driver=worker, loss=Loss.WORKER),
        Fault(
            "worker-before-end",
            "SIGKILL to the whole worker before the recorded end",
            "before-end",
            driver=worker,
            loss=Loss.WORKER,
            done=1,
        ),
        Fault(
            "worker-after-end",
            "SIGKILL to the whole worker after the recorded end",
            "after-end",
            driver=worker,
            loss=Loss.MESSAGE,
            done=1,
            needs_next=True,
        ),
        Fault(
            "worker-after-publish",
            "SIGKILL to the whole worker after the next message was published",
            "after-publish",
            driver=worker,
            loss=Loss.NEXT,
            done=1,
            next_holds=True,
            needs_next=True,
        ),
        Fault("stop", "SIGSTOP to the worker past the takeover, then SIGCONT", _IN_TOOL, driver=Driver.STOP_WORKER, loss=Loss.WORKER),
    )


def _surroundings() -> tuple[Fault, ...]:
    return (
        Fault(
            "redis",
            "SIGKILL to Redis, restarted at once with its AOF",
            _IN_TOOL,
            driver=Driver.KILL_REDIS,
            loss=Loss.NOTHING,
            seconds=_ENDS_SECONDS,
            outage_seconds=0.5,
        ),
        Fault(
            "redis-long",
            "SIGKILL to Redis, restarted past the lease with its AOF",
            _IN_TOOL,
            driver=Driver.KILL_REDIS,
            loss=Loss.WORKER,
            outage_seconds=4.0,
        ),
        Fault("cut", "connections to Redis cut past the takeover, then back", _IN_TOOL, driver=Driver.CUT, loss=Loss.WORKER),
        Fault(
            "stall",
            "network to Redis silent past the takeover, then back",
            _IN_TOOL,
            driver=Driver.STALL,
            loss=Loss.WORKER,
        ),
    )


def _messages() -> tuple[Fault, ...]:
    return (
        *(
            Fault(f"reply-{script}", f"the reply of `{script}` is lost", "none", loss=Loss.NOTHING, lost_reply=script, done=1)
            for script in ("start", "end")
        ),
        Fault("reply-fail", "the step raises, and the reply of `fail` is lost", "body", "same", told=_COMMAND, lost_reply="fail", done=1),
        Fault(
            "twice",
            "the step's message is delivered twice",
            _IN_TOOL,
            driver=Driver.DUPLICATE,
            loss=Loss.NOTHING,
            seconds=_ENDS_SECONDS,
        ),
        Fault("lost", "the message is lost after the step ended", "after-end", "drop", loss=Loss.MESSAGE, done=1, needs_next=True),
        Fault("revoke", "revoked in Flower while its message waits", "none", driver=Driver.REVOKE, told=_CANCELLED, begun=0),
        Fault("terminate", "terminated in Flower", _IN_TOOL, driver=Driver.TERMINATE, told=_CANCELLED),
        Fault("cancel", "cancelled by an operator", _IN_TOOL, driver=Driver.CANCEL, told=_CANCELLED),
    )


FAULTS: tuple[Fault, ...] = (*_raised(), *_deadlines(), *_kills(), *_surroundings(), *_messages())
WhyNot = Callable[[Workflow, Step], str]
