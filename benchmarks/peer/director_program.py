"""celery-director: a workflow of its own. `python -m benchmarks.peer.director_program send|work|where …`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.kernel import steps

_TASKS = """from director import task
from benchmarks.kernel import steps

def _made(name):
    @task(name=name)
    def work(*args, **kwargs):
        steps.work(name)
    return work

for name in steps.names():
    globals()[name.replace("-", "_")] = _made(name)
"""


def _home() -> Path:
    """Its folder, as `director init` makes one; it is read when the package is imported."""
    home = Path(os.environ["DIRECTOR_HOME"])
    if not home.exists():
        (home / "tasks").mkdir(parents=True)
        (home / "static").mkdir()
        (home / "tasks" / "steps.py").write_text(_TASKS)
        lines = "".join(f"    - {name}\n" for name in steps.names())
        (home / "workflows.yml").write_text(f"---\nbench.UP:\n  tasks:\n{lines}")
        subprocess.run((*_DIRECTOR, "db", "upgrade"), check=True, stdout=subprocess.DEVNULL)
    return home


_DIRECTOR = (str(Path(sys.executable).with_name("director")),)


def send(count: int) -> None:
    """Launch `count` workflows."""
    _home()
    from director._auto import app
    from director.builder import WorkflowBuilder
    from director.models.workflows import Workflow

    with app.app_context():
        for _ in range(count):
            workflow = Workflow(project="bench", name="UP", payload={})
            workflow.save()
            WorkflowBuilder(workflow.id).run()


def work(count: int) -> None:  # noqa: ARG001 - as all of them
    """A worker with two processes."""
    os.execv(_DIRECTOR[0], (*_DIRECTOR, "celery", "worker", "-P", "prefork", "-c", "2", "-l", "INFO"))  # noqa: S606


def where() -> str:
    """What is said of the step that runs."""
    from director._auto import app
    from director.models import StatusType
    from director.models.tasks import Task

    with app.app_context():
        return ", ".join(
            f"{found.key} {found.status.value}" for found in Task.query.filter_by(status=StatusType.progress)
        )


if __name__ == "__main__":
    steps.main(send, work, where)
