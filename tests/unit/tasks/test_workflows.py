"""The workflows are exactly those of the domain."""

from __future__ import annotations

import pytest

from config.celeryconfig import build
from config.settings import Settings
from tasks.facts import Facts
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import Queue, Unknown, Workflow

NAMES = {
    "provision": [
        "render-opentofu-templates",
        "opentofu-init",
        "opentofu-validate",
        "opentofu-plan",
        "opentofu-apply",
        "get-instance-info",
        "render-ansible-templates",
        "wait-ssh-connectivity",
        "cloud-init-wait",
    ],
    "configure": ["install-docker", "install-docker-compose", "configure-security-updates", "configure-firewall"],
    "destroy": ["destroy-infrastructure", "cleanup-workspace"],
    "register": ["wait-ssh-connectivity", "render-ansible-templates", "cloud-init-wait"],
    "plan": ["render-opentofu-templates", "opentofu-init", "opentofu-validate", "opentofu-plan"],
    "drift-check": ["look-for-drift"],
}


def test_names_and_order() -> None:
    assert {name: [step.name for step in workflow.steps] for name, workflow in WORKFLOWS.items()} == NAMES


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=list(WORKFLOWS))
def test_each_step_has_a_place_a_queue_and_a_limit(workflow: Workflow) -> None:
    for index, step in enumerate(workflow.steps, 1):
        assert workflow.index(step.name) == index
        assert step.timeout_seconds > 0
        assert (step.queue is Queue.WAIT) is step.name.endswith(("-wait", "-connectivity"))


def test_only_an_apply_is_looked_at_before_it_runs_again() -> None:
    found = {step.name for each in WORKFLOWS.values() for step in each.steps if step.unknown is not Unknown.RERUN}

    assert found == {"opentofu-apply"}


def test_an_unknown_step_has_no_place() -> None:
    with pytest.raises(KeyError):
        WORKFLOWS["provision"].index("install-docker")


def test_the_broker_holds_nothing_for_a_worker_and_no_result_is_kept() -> None:
    found = build(Settings())

    assert (found["task_acks_late"], found["worker_disable_prefetch"], found["task_reject_on_worker_lost"]) == (
        False,
        True,
        False,
    )
    assert (found["result_backend"], found["task_ignore_result"], found["accept_content"]) == (None, True, ["json"])


def test_what_only_looks_goes_back_to_where_it_came_from() -> None:
    """And leaves no drift behind that it has found: only what makes or ends the host does."""
    watching = [workflow for workflow in WORKFLOWS.values() if workflow.watches]

    assert [(each.name, each.done, each.failed, each.mends) for each in watching] == [
        ("drift-check", None, None, False)
    ]
    assert {workflow.name for workflow in WORKFLOWS.values() if workflow.mends} == {"provision", "destroy"}


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda workflow: workflow.name)
def test_what_steps_teach_are_facts(workflow: Workflow) -> None:
    taught = {fact for step in workflow.steps for fact in step.teaches}

    assert taught <= set(Facts.model_fields)
