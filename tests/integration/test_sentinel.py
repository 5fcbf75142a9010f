"""Redis behind Sentinels: workers, broker, beat and commands find the master, and the next one when it dies."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.failure import RunStatus
from tests.integration import installation, sentinels
from tests.integration.installation import Flower, Installation
from tests.integration.sentinels import Watched
from tests.support import poll


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with sentinels.running(tmp_path / "redis") as found:
        yield found


@pytest.fixture
def site(watched: Watched, tmp_path: Path) -> Iterator[Installation]:
    with installation.made(tmp_path / "site", **watched.variables(tmp_path / "secrets")) as found:
        yield found


def test_a_run_goes_on_under_the_next_master(site: Installation, watched: Watched) -> None:
    """The master is killed while a step runs: its end is recorded, and the next steps run, under the former replica."""
    worker = site.worker()
    flower = Flower(site)
    flower.wait_until_it_asks()
    names = ("web_1", "web_2", "web_3")
    fleet = site.fleet(**{name: {"fail": "ssh.wait", "how": "wait"} for name in names})
    assert site.stepmark("register", fleet, "--detach").status == 0
    poll(lambda: len(site.steps) >= 2)
    poll(flower.workers)

    watched.servers[0].kill()
    poll(watched.promoted, seconds=30)
    (site.folder / "go").touch()

    for record in site.ended(3):
        assert record.status is RunStatus.SUCCEEDED, record.failure
    assert worker.poll() is None
    assert site.stepmark("status").status == 0
    poll(lambda: len([state for state in flower.tasks().values() if state == "SUCCESS"]) >= 3)


def test_the_former_master_comes_back_as_a_replica_and_nobody_writes_to_it(
    site: Installation, watched: Watched
) -> None:
    site.worker()
    assert site.stepmark("register", site.fleet(web_1={})).status == 0
    former = watched.servers[0]
    former.kill()
    poll(watched.promoted, seconds=30)

    former.start()
    poll(lambda: watched.role(former) == "slave", seconds=240)  # at the Sentinels' own pace, by failover-timeout
    said = site.stepmark("configure", site.fleet(web_1={}))

    assert said.status == 0, said


def test_a_master_that_no_replica_follows_takes_nothing_and_its_workers_wait(
    site: Installation, watched: Watched
) -> None:
    """As on the wrong side of a cut: tools are ended with their lease, and all goes on when a replica is back."""
    master, replica = watched.servers
    for name, value in (("min-replicas-to-write", 1), ("min-replicas-max-lag", 1)):
        master.client.config_set(name, value)
    worker = site.worker()
    assert site.stepmark("register", site.fleet(web_1={"fail": "ssh.wait", "how": "tool"}), "--detach").status == 0
    poll(lambda: site.steps)

    replica.signal(signal.SIGSTOP)
    poll(lambda: re.search("Leases were not renewed: .*(NOREPLICAS|Not enough good replicas)", site.log("w0")))
    said = site.stepmark("pause", "--reason", "no replica")
    poll(lambda: "Not recorded yet, Redis does not take it" in site.log("w0"))
    replica.signal(signal.SIGCONT)

    (record,) = site.ended(1)
    assert record.status is RunStatus.SUCCEEDED, record.failure
    assert site.steps.count("web-1 ssh.wait") == 2
    assert (said.status, "NOREPLICAS" in said.err) == (4, True), said
    assert worker.poll() is None


@pytest.mark.parametrize("verify", ["full", "chain"])
def test_sentinels_and_servers_by_tls(tmp_path: Path, tls_program: Path, verify: str) -> None:
    """Both connections, of our client and of the broker; certificates are for the addresses that the Sentinels tell."""
    with sentinels.running_by_tls(tmp_path, tls_program) as (watched, authority):
        variables = watched.variables(tmp_path / "secrets") | {
            "STEPMARK_REDIS_URL": f"rediss://{sentinels.MASTER}/0",
            "STEPMARK_REDIS_CA_FILE": str(authority.file),
            "STEPMARK_REDIS_VERIFY": verify,
        }
        with installation.made(tmp_path / "site", **variables) as site:
            site.worker()

            assert site.stepmark("register", site.fleet(web_1={})).status == 0
