"""What workers are started from whose steps do nothing, and even that only when a gate is open."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.context import StepContext
from tasks.facts import Facts
from tasks.result import Result
from tasks.workflows import WORKFLOWS
from tests.integration import scripted

GATE_VARIABLE = "BACKLOG_GATE"


def _nothing(facts: Facts, context: StepContext) -> Result:
    while not Path(os.environ[GATE_VARIABLE]).exists():
        context.session.lifeline.wait(0.1)
    return Result(facts)


app = scripted.app
app.loader.import_default_modules()
for _step in WORKFLOWS["destroy"].steps:
    app.tasks[_step.task.name].run = _nothing
