"""What the workers of a simulated fleet are started from: `celery -A benchmarks.simulated.worker worker`.

The steps of provision and configure wait as long as the draw says, under their lease, and fail as it says.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.simulated import work
from tasks.context import StepContext
from tasks.errors import Kind, NetworkError, QuotaError, RemoteCommandError
from tasks.facts import Facts
from tasks.result import Result
from tasks.workflows import WORKFLOWS
from workers.celery import app

__all__ = ["app"]

_ERRORS = {
    Kind.NETWORK_CONNECTIVITY: lambda: NetworkError("connect to host: Connection refused", "ssh host true", 255),
    Kind.QUOTA: lambda: QuotaError("server limit reached", "tofu apply", 1),
    Kind.COMMAND_EXECUTION: lambda: RemoteCommandError("No package matching 'docker.io'", "ansible-playbook", 2),
}


def _simulated(step: str) -> Callable[[Facts, StepContext], Result]:
    def body(facts: Facts, context: StepContext) -> Result:
        name, seed = context.environment.name, context.environment.labels["seed"]
        context.session.lifeline.wait(work.seconds(seed, name, step))
        tried = context.workspace / f".tried-{step}"
        attempt = len(tried.read_text()) + 1 if tried.exists() else 1
        if found := work.fault(seed, name, step, attempt):
            tried.write_text("x" * attempt)
            context.session.write(f"{step}: {found.kind.value}, attempt {attempt}")
            raise _ERRORS[found.kind]()
        if step == "get-instance-info":
            facts = facts.model_copy(update={"address": "127.1.2.3"})
        return Result(facts, note="simulated")

    return body


def _install() -> None:
    app.loader.import_default_modules()
    for workflow in (WORKFLOWS["provision"], WORKFLOWS["configure"]):
        for step in workflow.steps:
            app.tasks[step.task.name].run = _simulated(step.name)


_install()
