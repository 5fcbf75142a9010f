"""register: take on a host that already exists."""

from __future__ import annotations

from tasks.environment import State
from tasks.steps import ansible, ssh
from tasks.workflows.model import Queue, Step, Workflow

REGISTER = Workflow(
    "register",
    (
        Step(
            "wait-ssh-connectivity",
            ssh.wait,
            Queue.WAIT,
            timeout_seconds=300,
            teaches=("address", "host_key"),
            vital="the steps after it log in to the host too",
        ),
        Step("render-ansible-templates", ansible.render, timeout_seconds=60),
        Step("cloud-init-wait", ssh.cloud_init_wait, Queue.WAIT, timeout_seconds=900),
    ),
    State.REGISTERING,
    State.PROVISIONED,
    State.REGISTER_FAILED,
)
