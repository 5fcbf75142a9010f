"""A Celery app whose workers, broker and tracker are real, and whose steps do what an environment's labels say.

Labels: `fail`: name of a task that raises; `how`: what it does; `times`: at which call of that task (1);
`last`: up to which. `drift`: what a look for drift finds. `idle`: the steps do nothing at all.
`seconds`: but take so long.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from kombu import pools

from tasks import workflows
from tasks.adapters import process
from tasks.context import StepContext
from tasks.environment import State
from tasks.errors import Kind, NetworkError, RefusedByHostError, StepmarkError, ToolError
from tasks.facts import Facts, PlanSummary
from tasks.result import Drift, Ending, Result
from tasks.steps import ansible, drift, ssh, tofu
from tasks.workflows.model import Retry, Step, Unknown, Workflow
from workers.celery import app

_STEPS = workflows.WORKFLOWS["provision"].steps

SWAPPED = Workflow(
    "swapped",
    (_STEPS[0], _STEPS[2], _STEPS[1], *_STEPS[3:]),
    State.PROVISIONING,
    State.PROVISIONED,
    State.PROVISION_FAILED,
)
TWICE = Workflow(
    "twice",
    (Step("first-look", tofu.validate), Step("between", tofu.plan), Step("second-look", tofu.validate)),
    State.PROVISIONING,
    State.PROVISIONED,
    State.PROVISION_FAILED,
)
IMPATIENT = Workflow(
    "impatient",
    (
        Step("shaky", tofu.validate, retry=Retry(attempts=3, first_seconds=0.4, ceiling_seconds=0.6)),
        Step("asked", tofu.plan, unknown=Unknown.ASK),
    ),
    State.PROVISIONING,
    State.PROVISIONED,
    State.PROVISION_FAILED,
)
OURS = {each.name: each for each in (SWAPPED, TWICE, IMPATIENT)}


class SameError(ToolError):
    """The very same exception, whichever step raises it."""

    kind = Kind.COMMAND_EXECUTION


class UnpicklableError(StepmarkError):
    """It can be neither pickled nor rebuilt."""

    def __init__(self, *, keyword: int) -> None:
        super().__init__(lambda: keyword)


def _scripted(name: str):
    def body(facts: Facts, context: StepContext) -> Result:
        labels = context.environment.labels
        time.sleep(float(labels.get("seconds", "0")))
        if "idle" in labels:
            return Result(facts)
        line = f"{context.environment.name} {name}"
        with Path(os.environ["SCRIPTED_LOG"]).open("a+") as log:
            log.write(f"{line}\n")
            log.seek(0)
            count = log.read().splitlines().count(line)
        (context.workspace / f"{name}.calls").write_text(str(count))
        context.session.write(f"{name} runs, call {count}")
        first = int(labels.get("times", "1"))
        if labels.get("fail") == name and first <= count <= int(labels.get("last", first)):
            _HOW[labels.get("how", "same")](context)
        if labels.get("not-possible") == name:
            return Result(facts, Ending.NOT_POSSIBLE, "this kind of host cannot")
        if name == "tofu.read_instance":
            facts = facts.model_copy(update={"address": "127.1.2.3"})
        if name == "tofu.look_for_drift":
            return Result(facts, drift=Drift(PlanSummary(add=1, change=0, destroy=0), labels.get("drift", "")))
        return Result(facts, note=f"call {count}")

    return body


def _same(context: StepContext) -> None:
    raise SameError("it went wrong", "tool --flag", 3, "last words")


def _unpicklable(context: StepContext) -> None:
    raise UnpicklableError(keyword=1)


def _bug(context: StepContext) -> None:
    raise ZeroDivisionError("division by zero")


def _kill_child(context: StepContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_worker(context: StepContext) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _network(context: StepContext) -> None:
    raise NetworkError("Connection refused", "ssh host", 255)


def _refused(context: StepContext) -> None:
    raise RefusedByHostError("a later epoch works on the host: /run/stepmark/web-1")


def _hang(context: StepContext) -> None:
    time.sleep(600)


def _tool(context: StepContext) -> None:
    process.run(process.Command(("sleep", "600"), context.workspace), context.session)


def _wait(context: StepContext) -> None:
    """Until the test says `go`: by a file beside the log."""
    while not Path(os.environ["SCRIPTED_LOG"]).with_name("go").exists():
        time.sleep(0.05)


_HOW = {
    "wait": _wait,
    "same": _same,
    "unpicklable": _unpicklable,
    "bug": _bug,
    "kill-child": _kill_child,
    "kill-worker": _kill_worker,
    "network": _network,
    "refused": _refused,
    "hang": _hang,
    "tool": _tool,
}


def install() -> None:
    """Add our workflows, and put the scripted bodies in the place of the real ones: for a worker's process."""
    workflows.WORKFLOWS.update(OURS)  # type: ignore[attr-defined]
    app.loader.import_default_modules()
    for module in (tofu, ssh, ansible, drift):
        for task in list(vars(module).values()):
            if hasattr(task, "body") and task.name in app.tasks:
                app.tasks[task.name].run = _scripted(task.name)


def forget_connections() -> None:
    """Those of this process may be to a Redis of the tests before, or have been cut by one of them."""
    pools.reset()
    app._after_fork()
