"""As test_apply_killed.py, where each apply that makes a host makes another one: what no state knows must be found."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import product

import pytest
import yaml

from tasks.failure import RunStatus
from tests.e2e import cloud, conftest
from tests.e2e.cloud import Cloud
from tests.e2e.test_apply_killed import NAME, Ground, Worker, ground, killed, settled, stopped
from tests.integration.conftest import ended
from tests.support import sampled

__all__ = ["ground"]

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")
POINTS = ("before lock", "asked", "made", "before save", "after save", "before end")
HOST = {"hcloud_server.host"}


@pytest.fixture
def servers(ground: Ground, point: str) -> Iterator[Cloud]:
    """A cloud that stops at the point; the fleet of the ground is there."""
    made = Cloud(ground.folder, point)
    with made.serve() as endpoint:
        environment = {
            "name": NAME,
            "provider": {"name": "hetzner", "token": "env:CLOUD_TOKEN", "endpoint": endpoint},
            "ssh": {"key": "file:key", "port": 2222},
        }
        (ground.folder / "cloud.yaml").write_text(yaml.safe_dump({"environments": [environment]}))
        ground.variables |= {"CLOUD_TOKEN": "sesame", "STEPMARK_PLUGIN_MIRROR": str(cloud.mirror(ground.folder))}
        yield made


@pytest.mark.parametrize(
    ("point", "die"), sampled(tuple(product(POINTS, (killed, stopped))), ("made", stopped), ("before save", killed))
)
def test_no_second_host_and_none_that_no_state_knows(
    ground: Ground, servers: Cloud, point: str, die: Callable[[Ground, Worker], Callable[[], None]]
) -> None:
    first = ground.worker("data-a", at=point)
    fleet = ground.folder / "cloud.yaml"
    run = str(ground.stepmark("provision", fleet, "--detach")[1]["environments"][0]["run"])
    ground.reached()
    come_back = die(ground, first)
    if point in ("asked", "made"):
        ground.let_go()  # what the cloud was asked for it makes, whoever is dead
    second = ground.worker("data-b")

    record = ended(ground.base(), run, seconds=120)

    assert record.status is RunStatus.SUCCEEDED, record.failure
    assert (len(ground.hosts()), len(servers.servers), ground.resources()) == (1, 1, HOST)
    come_back()
    os.killpg(second.pid, signal.SIGTERM)
    second.wait(60)
    settled(ground, *ground.stepmark("provision", fleet))
    assert (len(ground.hosts()), len(servers.servers), ground.resources()) == (1, 1, HOST)
    settled(ground, *ground.stepmark("destroy", NAME, "--yes"))
    assert (ground.hosts(), servers.servers, ground.resources()) == ([], {}, set())
