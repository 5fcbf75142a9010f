from __future__ import annotations

from pathlib import Path

import pytest

from config import fleet
from tasks import fleetcheck
from tasks.workflows import WORKFLOWS

TEXT = """\
defaults:
  ssh: {key: env:KEY}
  parameters:
    timeouts: {install-docker: 10, opentofu-int: 20}
environments:
  - name: a
    provider: {name: existing, address: b}
    parameters:
      timeouts:
        wait-for-godot: 10
        wait-ssh-connectivity: 5
  - name: b
    provider: {name: existing, address: b}
schedules:
  - {name: x, workflow: up, select: all, every: 6h}
  - name: y
    workflow: provison
    select: all
    every: 6h
  - {name: sweep, workflow: retention, cron: "0 4 * * *"}
"""


def test_check(tmp_path: Path) -> None:
    """A step's name in the defaults is wrong once, whoever inherits it."""
    path = tmp_path / "fleet.yaml"
    path.write_text(TEXT)
    steps = ", ".join(sorted({"run", *(step.name for workflow in WORKFLOWS.values() for step in workflow.steps)}))

    found = fleetcheck.check(fleet.load(path))

    assert [(problem.line, problem.path, problem.message) for problem in found] == [
        (
            4,
            "defaults.parameters.timeouts.opentofu-int",
            "no step is called `opentofu-int`; did you mean `opentofu-init`?",
        ),
        (
            10,
            "environments[0].parameters.timeouts.wait-for-godot",
            f"no step is called `wait-for-godot`; known: {steps}",
        ),
        (17, "schedules[1].workflow", "no workflow is called `provison`; did you mean `provision`?"),
    ]


@pytest.mark.parametrize("workflow", [*WORKFLOWS, "up"])
def test_every_workflow_may_be_scheduled(tmp_path: Path, workflow: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        TEXT.replace("provison", workflow)
        .replace("opentofu-int", "opentofu-init")
        .replace("wait-for-godot", "cloud-init-wait")
    )

    assert fleetcheck.check(fleet.load(path)) == ()


@pytest.mark.parametrize(
    ("schedule", "path", "message"),
    [
        ("{name: x, workflow: up, every: 6h}", ".select", "is missing: add it, as `select: all`"),
        (
            "{name: x, workflow: retention, select: all, every: 6h}",
            ".select",
            "is of no use: retention is no workflow",
        ),
    ],
)
def test_a_workflow_needs_a_selection_and_a_job_has_none(
    tmp_path: Path, schedule: str, path: str, message: str
) -> None:
    file = tmp_path / "fleet.yaml"
    host = "{name: a, provider: {name: existing, address: b}, ssh: {key: env:KEY}}"
    file.write_text(f"environments: [{host}]\nschedules:\n- {schedule}\n")

    (problem,) = fleetcheck.check(fleet.load(file))

    assert (problem.line, problem.path, problem.message) == (3, f"schedules[0]{path}", message)
