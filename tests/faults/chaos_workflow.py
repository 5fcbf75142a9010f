"""The workflow of the chaos driver: steps that run a real small program under the guard.

The program writes what it does into a log on the "host", and holds the host's lock while it, or anything that it has
started, lives: two at once are seen by whoever comes second. Where there is a file `slow`, it takes its time to end.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from tasks.adapters import process
from tasks.adapters.process import Command
from tasks.context import StepContext
from tasks.environment import State
from tasks.errors import Kind, ToolError
from tasks.facts import Facts
from tasks.result import Result
from tasks.steps.registry import step
from tasks.workflows.model import Queue, Retry, Step, Unknown, Workflow

MARK = "CHAOS_TOOL"
TOOL = """
cd "$CHAOS_FOLDER"
exec 9>>"hosts/$1"
flock -n 9 || echo "overlap $*" >>host.log
echo "start $*" >>host.log
trap 'echo "interrupted $*" >>host.log; [ ! -e slow ] || sleep 2; exit 130' INT TERM
sleep "$4" &
wait $!
echo "end $*" >>host.log
exit "$5"
"""


class ToolFailedError(ToolError):
    """The small program ended badly."""

    kind = Kind.COMMAND_EXECUTION


def _work(facts: Facts, context: StepContext, name: str) -> Result:
    labels = context.environment.labels
    draw = zlib.crc32(f"{context.scope} {name} {labels['draw']}".encode()) % 100
    fails = draw < int(labels["fails"]) and not context.uncertain
    seconds = float(labels["seconds"]) * (0.5 + draw / 100)
    if name in labels and not context.uncertain:
        seconds = float(labels[name])
    argv = ("sh", "-c", TOOL, "tool", context.environment.name, name, context.scope, f"{seconds:.2f}", str(int(fails)))
    folder = os.environ["CHAOS_FOLDER"]
    done = process.run(Command(argv, Path(folder), {"CHAOS_FOLDER": folder, MARK: folder}), context.session)
    if done.exit_status:
        raise ToolFailedError("the tool failed", "tool", done.exit_status, done.tail)
    return Result(facts.model_copy(update={"address": "127.1.2.3"}))


@step("chaos.first")
def first(facts: Facts, context: StepContext) -> Result:
    """Wait a little, then run the program."""
    context.session.lifeline.wait(0.05)
    return _work(facts, context, "first")


@step("chaos.second")
def second(facts: Facts, context: StepContext) -> Result:
    """Run the program, and leave something in the workspace."""
    (context.workspace / "second").write_text(context.scope)
    return _work(facts, context, "second")


@step("chaos.third")
def third(facts: Facts, context: StepContext) -> Result:
    """Run the program; what the second step left must be there."""
    assert (context.workspace / "second").exists()
    return _work(facts, context, "third")


@step("chaos.fourth")
def fourth(facts: Facts, context: StepContext) -> Result:
    """Run the program; what the first step learned must be known."""
    assert facts.address
    return _work(facts, context, "fourth")


_RETRY = Retry(frozenset({Kind.COMMAND_EXECUTION, Kind.STATE_PERSISTENCE}), 3, 0.3, 1.0)
CHAOS = Workflow(
    "chaos",
    (
        Step("first", first, Queue.WAIT, 60, retry=_RETRY),
        Step("second", second, Queue.TOOLS, 60, retry=_RETRY),
        Step("third", third, Queue.TOOLS, 60, Unknown.ASK),
        Step("fourth", fourth, Queue.WAIT, 60, Unknown.VERIFY, _RETRY),
    ),
    State.REGISTERING,
    State.PROVISIONED,
    State.REGISTER_FAILED,
)
