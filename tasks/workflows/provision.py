"""provision: make the host and wait until it can be configured; plan: its first steps, which change nothing."""

from __future__ import annotations

from tasks.environment import State
from tasks.steps import ansible, ssh, tofu
from tasks.workflows.model import Queue, Retry, Step, Unknown, Workflow

# A provider's limit of calls is over in minutes.
_LIMITS = Retry(first_seconds=30, ceiling_seconds=300)

PROVISION = Workflow(
    "provision",
    (
        Step("render-opentofu-templates", tofu.render, timeout_seconds=60, teaches=("templates_digest", "host_key")),
        Step("opentofu-init", tofu.init, timeout_seconds=300, teaches=("provider_lock",)),
        Step("opentofu-validate", tofu.validate, timeout_seconds=120),
        Step("opentofu-plan", tofu.plan, timeout_seconds=600),
        Step(
            "opentofu-apply",
            tofu.apply,
            timeout_seconds=1800,
            unknown=Unknown.VERIFY,
            retry=_LIMITS,
            teaches=("state_serial",),
        ),
        Step("get-instance-info", tofu.read_instance, timeout_seconds=120, teaches=("address",)),
        Step("render-ansible-templates", ansible.render, timeout_seconds=60),
        Step(
            "wait-ssh-connectivity",
            ssh.wait,
            Queue.WAIT,
            timeout_seconds=300,
            teaches=("host_key",),
            vital="the steps after it log in to the host too",
        ),
        Step("cloud-init-wait", ssh.cloud_init_wait, Queue.WAIT, timeout_seconds=900),
    ),
    State.PROVISIONING,
    State.PROVISIONED,
    State.PROVISION_FAILED,
    mends=True,
)

PLAN = Workflow("plan", PROVISION.steps[:4], State.PROVISIONING, None, None)
