"""The workers of the matrix: `celery -A tests.faults.worker worker`. All is real, but for the bodies of the steps.

Whatever goes wrong inside a worker is put in here, around the product, which knows nothing of it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from celery import current_task
from celery.signals import task_postrun

from tasks import errors
from tasks.adapters import process, remote_scope, ssh
from tasks.context import StepContext
from tasks.facts import Facts
from tasks.identity import StepIdentity
from tasks.result import Result
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import Unknown
from tests.faults import cells, plans, program
from tests.faults.plans import Marks, Plan
from tests.integration import scripted
from workers import callbacks, steptask
from workers.celery import app
from workers.tracker import Kept, Tracker

HOST_VARIABLE = "FAULTS_HOST"
REFUSING_VARIABLE = "FAULTS_REFUSING_REDIS"
REMOTE_LOGS = "/root/faults"
SHORT_SECONDS = 0.2


class PassingError(errors.NetworkError):
    """It goes over by itself."""


def _identity(request: Any = None) -> StepIdentity:
    found = StepIdentity.read((request or current_task.request).headers)
    assert found
    return found


def _planned(identity: StepIdentity, point: str) -> tuple[Marks, Plan] | None:
    """The plan, if it is for this place and this point, and nobody has been here before."""
    marks = plans.marks(identity.environment)
    plan = marks.plan()
    if plan is None or (plan.workflow, plan.step, plan.point) != (identity.workflow, identity.step, point):
        return None
    return (marks, plan) if marks.once(f"once-{point}") else None


def _point(identity: StepIdentity, point: str) -> str:
    """Do what is planned for this point, if anything is; what is left to do for who called."""
    if planned := _planned(identity, point):
        marks, plan = planned
        marks.reach()
        if plan.action == "hold":
            marks.wait("go")
        return plan.action
    return ""


def _body(facts: Facts, context: StepContext) -> Result:
    """What all steps do here. The planned one runs a real program, where the real step would run its own."""
    identity = _identity()
    marks = plans.marks(identity.environment)
    plan = marks.plan()
    learned = facts.model_copy(update={"address": "127.1.2.3"})
    if plan is None or (plan.workflow, plan.step) != (identity.workflow, identity.step):
        _lightly(marks, plan, identity)
        return Result(learned)
    step = WORKFLOWS[identity.workflow].steps[identity.index - 1]
    if step.unknown is Unknown.VERIFY and context.uncertain and _done_before(marks, identity):
        return Result(learned, note="found done")
    first = marks.once("once-body")
    _run(marks, plan if first else None, identity, context)
    if first:
        _act(plan)
    return Result(learned)


def _lightly(marks: Marks, plan: Plan | None, identity: StepIdentity) -> None:
    """Only say in the log that the step ran."""
    who = _who(identity)
    _say(marks.log, "start", who)
    ahead = identity.index - plan.index if plan and plan.workflow == identity.workflow else 0
    if plan and plan.next_holds and ahead == 1 and marks.once("once-next"):
        marks.reach("next")
        marks.wait("go")
    if plan and plan.gate and ahead == -1 and marks.once("once-gate"):
        marks.reach("gate")
        marks.wait("open")
    _say(marks.log, "end", who)


def _say(log: Path, word: str, who: str) -> None:
    with log.open("a") as file:
        file.write(f"{word} {who} {time.time():.6f}\n")


def _who(identity: StepIdentity) -> str:
    return f"{identity.workflow}/{identity.step} {identity.run}.{identity.epoch} {os.getpid()}"


def _done_before(marks: Marks, identity: StepIdentity) -> bool:
    """The probe of a step that looks first: what it makes here is the end of its program."""
    lines = marks.log.read_text().splitlines() if marks.log.exists() else []
    return any(line.split()[:2] == ["end", f"{identity.workflow}/{identity.step}"] for line in lines)


def _run(marks: Marks, plan: Plan | None, identity: StepIdentity, context: StepContext) -> None:
    """Run the program under its guard, here or on the host."""
    in_tool = bool(plan and plan.point == "in-tool")

    def write(line: str) -> None:
        if in_tool and "started" in line:
            marks.reach()

    session = dataclasses.replace(context.session, write=write)
    seconds = plan.seconds if plan and (in_tool or plan.deaf) else SHORT_SECONDS
    flags = ("deaf",) if plan and plan.deaf else ()
    if cells.remote(identity.workflow, identity.step):
        _run_there(identity, context, session, (seconds, *flags))
        return
    argv = (sys.executable, "-I", "-S", program.__file__, str(marks.log), _who(identity), str(seconds), *flags)
    completed = process.run(process.Command(argv, context.workspace), session)
    if completed.exit_status:
        raise cells.error_of(identity.workflow, identity.step)(
            "the program failed", shlex.join(argv), completed.exit_status, completed.tail
        )


def _run_there(
    identity: StepIdentity, context: StepContext, session: process.Session, words: tuple[object, ...]
) -> None:
    host = json.loads(os.environ[HOST_VARIABLE])
    target = ssh.Target(
        host["address"],
        host["port"],
        "root",
        Path(host["key"]),
        Path(host["known_hosts"]),
        remote_scope.parse(identity.environment, context.scope),
    )
    log = f"{REMOTE_LOGS}/{identity.environment}.log"
    argv = ("python3", "-I", "-S", f"{REMOTE_LOGS}/program.py", log, _who(identity), *map(str, words))
    ssh.run_remote(target, shlex.join(argv), session)


def _act(plan: Plan) -> None:
    if act := _ACTIONS.get(plan.action):
        plans.marks(_identity().environment).reach()
        act()


def _same() -> None:
    raise scripted.SameError("it went wrong", "tool --flag", 3, "last words")


def _unpicklable() -> None:
    raise scripted.UnpicklableError(keyword=1)


def _passing() -> None:
    raise PassingError("the network is away for a moment")


def _memory() -> None:
    raise MemoryError


def _hang() -> None:
    while True:
        time.sleep(1)


_ACTIONS: dict[str, Callable[[], None]] = {
    "same": _same,
    "unpicklable": _unpicklable,
    "passing": _passing,
    "memory": _memory,
    "hang": _hang,
    "callback": _same,
    "trace": _same,
}


def _begin(begin: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def wrapped(request: Any) -> Any:
        _point(_identity(request), "acknowledged")
        execution = begin(request)
        _point(_identity(request), "started")
        return execution

    return wrapped


def _end(end: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(tracker: Tracker, execution: Any, result: Any, once: str, kept: Kept) -> Any:
        if _point(execution.identity, "before-end") == "drop":
            kept = dataclasses.replace(kept, letter=None)
        return end(tracker, execution, result, once, kept)

    return wrapped


def _end_badly(end_badly: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(base: Any, record: Any, *more: Any, **named: Any) -> Any:
        marks = plans.marks(record.environment)
        plan = marks.plan()
        if plan and plan.action == "callback" and marks.once("once-callback"):
            raise RuntimeError("the error callback itself is broken")
        return end_badly(base, record, *more, **named)

    return wrapped


def _keep_trace(keep_trace: Callable[..., Any]) -> Callable[..., Any]:
    """Where traces are to be refused, Redis itself refuses them: its user may not write what a trace is made of."""

    def wrapped(base: Any, trace: Any) -> Any:
        marks = plans.marks(trace.context.environment)
        plan = marks.plan()
        if plan is None or plan.action != "trace":
            return keep_trace(base, trace)
        return keep_trace(dataclasses.replace(base, client=redis.Redis.from_url(os.environ[REFUSING_VARIABLE])), trace)

    return wrapped


@task_postrun.connect
def _after(task: Any = None, **_: Any) -> None:
    if getattr(task, "is_step", False):
        _point(_identity(task.request), "after-end")


def install() -> None:
    """Put all of it around the product, in this process."""
    app.loader.import_default_modules()
    for task in app.tasks.values():
        if getattr(task, "is_step", False):
            task.run = _body
    steptask.begin = _begin(steptask.begin)
    Tracker.end = _end(Tracker.end)  # type: ignore[method-assign]
    callbacks.end_badly = _end_badly(callbacks.end_badly)
    callbacks.keep_trace = _keep_trace(callbacks.keep_trace)


install()
