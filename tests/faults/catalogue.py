"""All faults of the matrix, as data."""

from __future__ import annotations

from tasks.errors import Kind
from tasks.failure import Cause
from tests.faults.fault import POOL_LOOK_SECONDS, Driver, Fault, Loss

_COMMAND = (Kind.COMMAND_EXECUTION, Cause.RAISED)
_TIMEOUT = (Kind.TIMEOUT, Cause.TIMED_OUT)
_KILLED = (Kind.WORKER_LOST, Cause.KILLED)
_CANCELLED = (Kind.CANCELLED, Cause.CANCELLED)
_IN_TOOL = "in-tool"
_ENDS_SECONDS = 3.0
# Longer than a program takes to begin on a host, when the machine is busy.
_DEADLINE_SECONDS = 5.0
# Longer than it takes all runs of a group to get there.
_ALL_SECONDS = 15.0


_RAISED = (
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


_DEADLINES = (
    Fault(
        "soft-deadline",
        "soft deadline: the tool heeds the interrupt",
        _IN_TOOL,
        told=_TIMEOUT,
        timeout_seconds=_DEADLINE_SECONDS,
    ),
    Fault(
        "hard-deadline",
        "hard deadline: the tool is deaf to INT and TERM",
        _IN_TOOL,
        told=_TIMEOUT,
        deaf=True,
        timeout_seconds=_DEADLINE_SECONDS,
    ),
    Fault(
        "hang",
        "hard deadline: our own code hangs",
        "body",
        "hang",
        told=_TIMEOUT,
        done=1,
        timeout_seconds=_DEADLINE_SECONDS,
    ),
)


_KILLS = (
    Fault(
        "child",
        "SIGKILL to the pool's child",
        _IN_TOOL,
        driver=Driver.KILL_CHILD,
        told=_KILLED,
        lease_seconds=POOL_LOOK_SECONDS + 3,
    ),
    Fault(
        "tool",
        "SIGKILL to the tool, as for lack of memory",
        _IN_TOOL,
        driver=Driver.KILL_TOOL,
        told=(None, Cause.KILLED),
    ),
    Fault(
        "worker-acknowledged",
        "SIGKILL to the whole worker after the acknowledgement",
        "acknowledged",
        driver=Driver.KILL_WORKER,
        loss=Loss.MESSAGE,
        begun=0,
    ),
    Fault(
        "worker-started",
        "SIGKILL to the whole worker after the recorded start",
        "started",
        driver=Driver.KILL_WORKER,
        loss=Loss.WORKER,
        begun=0,
    ),
    Fault("worker", "SIGKILL to the whole worker in the tool", _IN_TOOL, driver=Driver.KILL_WORKER, loss=Loss.WORKER),
    Fault(
        "worker-before-end",
        "SIGKILL to the whole worker before the recorded end",
        "before-end",
        driver=Driver.KILL_WORKER,
        loss=Loss.WORKER,
        done=1,
    ),
    Fault(
        "worker-after-end",
        "SIGKILL to the whole worker after the recorded end",
        "after-end",
        driver=Driver.KILL_WORKER,
        loss=Loss.NEXT,
        done=1,
        next_holds=True,
        needs_next=True,
    ),
    Fault(
        "stop",
        "SIGSTOP to the worker past the takeover, then SIGCONT",
        _IN_TOOL,
        driver=Driver.STOP_WORKER,
        loss=Loss.WORKER,
    ),
)


_SURROUNDINGS = (
    Fault(
        "redis",
        "SIGKILL to Redis, restarted at once with its AOF",
        _IN_TOOL,
        driver=Driver.KILL_REDIS,
        loss=Loss.NOTHING,
        seconds=_ALL_SECONDS,
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
    Fault(
        "cut",
        "connections to Redis cut past the takeover, then back",
        _IN_TOOL,
        driver=Driver.CUT,
        loss=Loss.WORKER,
    ),
    Fault(
        "stall",
        "network to Redis silent past the takeover, then back",
        _IN_TOOL,
        driver=Driver.STALL,
        loss=Loss.WORKER,
    ),
)


_MESSAGES = (
    *(
        Fault(
            f"reply-{script}",
            f"the reply of `{script}` is lost",
            "none",
            loss=Loss.NOTHING,
            lost_reply=script,
            done=1,
        )
        for script in ("start", "end")
    ),
    Fault(
        "reply-fail",
        "the step raises, and the reply of `fail` is lost",
        "body",
        "same",
        told=_COMMAND,
        lost_reply="fail",
        done=1,
    ),
    Fault(
        "twice",
        "the step's message is delivered twice",
        _IN_TOOL,
        driver=Driver.DUPLICATE,
        loss=Loss.NOTHING,
        seconds=_ENDS_SECONDS,
    ),
    Fault(
        "lost",
        "the next message is lost when the step has ended",
        "before-end",
        "drop",
        loss=Loss.MESSAGE,
        done=1,
        needs_next=True,
    ),
    Fault(
        "revoke",
        "revoked in Flower while its message waits",
        "none",
        driver=Driver.REVOKE,
        told=_CANCELLED,
        begun=0,
    ),
    Fault("terminate", "terminated in Flower", _IN_TOOL, driver=Driver.TERMINATE, told=_CANCELLED),
    Fault("cancel", "cancelled by an operator", _IN_TOOL, driver=Driver.CANCEL, told=_CANCELLED),
)


FAULTS: tuple[Fault, ...] = (*_RAISED, *_DEADLINES, *_KILLS, *_SURROUNDINGS, *_MESSAGES)
