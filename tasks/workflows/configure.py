"""configure: put on the host what every host of the fleet has."""

from __future__ import annotations

from tasks.environment import State
from tasks.steps import ansible
from tasks.workflows.model import Step, Workflow

CONFIGURE = Workflow(
    "configure",
    (
        Step("install-docker", ansible.install_docker, timeout_seconds=1200),
        Step("install-docker-compose", ansible.install_compose, timeout_seconds=900),
        Step("configure-security-updates", ansible.security_updates, timeout_seconds=900),
        Step("configure-firewall", ansible.firewall, timeout_seconds=600),
    ),
    State.CONFIGURING,
    State.CONFIGURED,
    State.CONFIGURE_FAILED,
)
