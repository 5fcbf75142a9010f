"""What a worker must have: every step of every workflow is known, and this machine is looked at rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks import equipment
from tasks.equipment import Item, What
from tasks.workflows import WORKFLOWS

TASKS = {step.task.name for workflow in WORKFLOWS.values() for step in workflow.steps}


def spec(provider: dict[str, object], **parameters: object) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {"name": "web-1", "provider": provider, "ssh": {"key": "env:KEY"}, "parameters": parameters}
    )


HETZNER = spec({"name": "hetzner", "token": "env:TOKEN"}, cloud_init={"template": "/t.yaml"})
EXISTING = spec({"name": "existing", "address": "127.1.2.3"})


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_is_known(task: str) -> None:
    assert task in equipment._NEEDS or task.partition(".")[0] in equipment._NEEDS


@pytest.mark.parametrize(
    ("workflow", "environment", "items"),
    [
        (
            "provision",
            HETZNER,
            {
                *(("tools", "secret", "env:KEY"), ("tools", "file", "/t.yaml"), ("tools", "program", "tofu")),
                *(("tools", "secret", "env:TOKEN"), ("wait", "program", "ssh"), ("wait", "secret", "env:KEY")),
            },
        ),
        (
            "drift-check",
            HETZNER,
            {
                *(("tools", "secret", "env:KEY"), ("tools", "file", "/t.yaml"), ("tools", "program", "tofu")),
                ("tools", "secret", "env:TOKEN"),
            },
        ),
        ("drift-check", EXISTING, set()),
        ("plan", EXISTING, set()),
        ("register", EXISTING, {("wait", "program", "ssh"), ("wait", "secret", "env:KEY")}),
        (
            "configure",
            EXISTING,
            {("tools", "program", "ssh"), ("tools", "program", "ansible-playbook"), ("tools", "secret", "env:KEY")},
        ),
        ("destroy", HETZNER, {("tools", "program", "tofu"), ("tools", "secret", "env:TOKEN")}),
        ("destroy", EXISTING, set()),
    ],
)
def test_what_a_workflow_needs(workflow: str, environment: EnvironmentSpec, items: set[tuple[str, str, str]]) -> None:
    assert equipment.wanted(environment, WORKFLOWS[workflow].steps) == items


def test_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").write_text("content")
    (tmp_path / "tofu").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TOKEN", "to be kept to itself")

    def lack(what: What, name: str) -> str | None:
        return equipment.lack(Item("tools", what, name), Settings())

    assert [
        lack(What.SECRET, "env:TOKEN"),
        lack(What.SECRET, "env:OTHER"),
        lack(What.FILE, str(tmp_path / "there")),
        lack(What.FILE, "/nowhere/x"),
        lack(What.PROGRAM, "tofu"),
        lack(What.PROGRAM, "ssh"),
        lack(What.PROGRAM, "ansible-playbook"),
    ] == [
        None,
        "secret env:OTHER: the variable is not set, or empty",
        None,
        "/nowhere/x: No such file or directory",
        None,
        "ssh is not on its PATH",
        None,
    ]
