"""A real run that is cancelled: in the middle of an apply, and while it waits for a host that does not answer."""

from __future__ import annotations

import pytest

from tasks.errors import Kind
from tasks.failure import Cause, RunStatus
from tests.e2e import conftest
from tests.e2e.test_apply_killed import NAME, Ground, ground
from tests.integration.conftest import ended
from tests.support import poll

__all__ = ["ground"]

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")
ALL = {"terraform_data.host", "terraform_data.boot"}


@pytest.mark.parametrize("point", ["in the provisioner", "made"])
def test_an_apply_is_interrupted_its_state_is_saved_and_resume_makes_no_second_host(
    ground: Ground,
    point: str,
) -> None:
    ground.worker("data-a", at=point)
    run = ground.launch()
    ground.reached()

    status, document = ground.stepmark("cancel", NAME, "--reason", "wrong size")

    (outcome,) = document["environments"]
    failure = outcome["failure"]
    assert (status, outcome["outcome"], outcome["state"]) == (0, "cancelled", "provision-failed")
    assert (failure["failed_step"], failure["error_kind"], failure["cause"]) == (
        "opentofu-apply",
        Kind.CANCELLED,
        Cause.CANCELLED,
    )
    assert "wrong size" in failure["error_summary"]
    assert " apply " in failure["command"]
    assert "@level" not in failure["output_tail"]
    assert ground.resources() == ALL  # saved on the interrupt, the second one as half made
    preview = ground.stepmark("resume", NAME, "--dry-run")[1]["previews"][0]
    assert preview["doubts"][0].startswith("opentofu-apply was not ended well: it first saves what was left")

    ground.let_go()
    assert ground.stepmark("resume", NAME)[0] == 0
    assert ended(ground.base(), run).status is RunStatus.SUCCEEDED
    assert (len(ground.hosts()), ground.resources()) == (1, ALL)
    assert ground.stepmark("destroy", NAME, "--yes")[0] == 0
    assert (ground.hosts(), ground.resources()) == ([], set())


def test_a_wait_for_ssh_ends(ground: Ground) -> None:
    ground.let_go()  # no point is wanted
    ground.worker("data-a")
    fleet = ground.fleet({"name": NAME, "provider": {"listen": False}})
    run = ground.stepmark("provision", fleet, "--detach")[1]["environments"][0]["run"]
    store = ground.base().store
    at_work = ("wait-ssh-connectivity", RunStatus.RUNNING)
    poll(lambda: (store.run(run).step, store.run(run).status) == at_work, seconds=120)

    status, document = ground.stepmark("cancel", run)

    failure = document["environments"][0]["failure"]
    assert (status, failure["failed_step"], failure["error_kind"]) == (0, "wait-ssh-connectivity", "cancelled")
    assert ground.stepmark("destroy", NAME, "--yes")[0] == 0
