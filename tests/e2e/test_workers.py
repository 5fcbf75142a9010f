"""Any worker can run any step: two workers with folders of their own, and the steps forced to alternate."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

import pytest

from config import fleet
from config.settings import Settings
from tasks import workflows
from tasks.failure import RunStatus
from tests.e2e import conftest
from tests.e2e.conftest import Site
from tests.integration.conftest import ended
from workers import runtime
from workers.celery import app
from workers.launch import Launcher, Request

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")


class Side(StrEnum):
    """A queue that only one of the two workers takes from."""

    LEFT = "left"
    RIGHT = "right"


def test_steps_alternate_between_workers_with_different_folders(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan that one saved is applied by the other, through another port; state and workspace come along."""
    for side in Side:
        folder = str(site.folder / f"data-{side}")
        site.start(side, "-P", "prefork", "-c", "1", STEPMARK_DATA_DIR=folder)
    for name in ("provision", "destroy"):
        monkeypatch.setitem(workflows.WORKFLOWS, name, alternating(workflows.WORKFLOWS[name]))
    environment = fleet.load(site.fleet({"name": "moved"})).environments[0]
    base = runtime.base(Settings(redis_url=site.url))
    monkeypatch.setattr(app.conf, "broker_url", site.url)
    launcher = Launcher(base, app)

    for name in ("provision", "destroy"):
        launched = launcher.launch(Request(environment, (name,), "tester@here", "test"))
        run = ended(base, launched.run, seconds=120)
        assert run.status is RunStatus.SUCCEEDED, run.failure
        workers = [event["worker"] for event in base.store.events(run.run) if event["event"] == "step-started"]
        sides = [worker.partition("-")[0] for worker in workers]
        assert sides == ["left", "right", "left", "right", "left", "right", "left", "right", "left"][: run.total]
        assert run.completed[0].ending == "done"
    assert base.store.environment("moved").state == "destroyed"
    assert not base.client.exists(base.keys.workspace("moved"))


def alternating(workflow: workflows.Workflow) -> workflows.Workflow:
    """The workflow with its steps on the left and the right queue in turn."""
    sides = (Side.LEFT, Side.RIGHT)
    steps = tuple(
        dataclasses.replace(step, queue=sides[index % 2])  # type: ignore[arg-type]
        for index, step in enumerate(workflow.steps)
    )
    return dataclasses.replace(workflow, steps=steps)
