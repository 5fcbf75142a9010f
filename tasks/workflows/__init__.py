"""All workflows, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.workflows.configure import CONFIGURE
from tasks.workflows.destroy import DESTROY
from tasks.workflows.drift import DRIFT_CHECK
from tasks.workflows.model import Workflow
from tasks.workflows.provision import PLAN, PROVISION
from tasks.workflows.register import REGISTER

WORKFLOWS: Mapping[str, Workflow] = {
    workflow.name: workflow for workflow in (PROVISION, CONFIGURE, DESTROY, REGISTER, PLAN, DRIFT_CHECK)
}
