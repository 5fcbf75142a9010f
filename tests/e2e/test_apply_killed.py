"""An apply whose worker is killed or stopped, at every point of it: one host afterwards, and the state knows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis

from config.settings import Settings
from tasks.errors import Kind
from tasks.failure import RunStatus
from tasks.sandbox import api
from tests.e2e import conftest
from tests.e2e.conftest import Site
from tests.integration.conftest import ROOT, ended
from tests.support import poll, sampled
from workers import crypto, runtime
from workers.orphans import OrphanStore
from workers.runtime import Base
from workers.tofustate import TofuState

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")

POINTS = (
    "before lock",
    "after lock",
    "in the provisioner",
    "made",
    "before save",
    "after save",
    "after unlock",
    "before end",
    "after end",
)
NAME = "fired"
Worker = subprocess.Popen[bytes]


class Ground(Site):
    """A site whose workers stop at named points, each with a data folder of its own."""

    def worker(self, data: str, at: str = "", **more: str) -> Worker:
        """Start a worker for all queues; the second one with the same `data` has the disk of the first."""
        name = f"{data}-{len(self.workers)}"
        log = (self.folder / f"{name}.log").open("wb")
        argv = [sys.executable, "-m", "celery", "-A", "tests.e2e.fire_worker", "worker", "-n", f"{name}@e2e"]
        own = {"STEPMARK_DATA_DIR": str(self.folder / data), "FIRE_DIR": str(self.folder), "FIRE_AT": at}
        worker = subprocess.Popen(
            [*argv, "-Q", "wait,tools", "-P", "prefork", "-c", "1", "-l", "INFO"],
            cwd=ROOT,
            env=self.variables | own | more,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.workers.append(worker)
        return worker

    def launch(self) -> str:
        """Provision; the run's id."""
        status, document = self.stepmark("provision", self.fleet({"name": NAME}), "--detach")
        assert status == 0, document
        return str(document["environments"][0]["run"])

    def reached(self) -> None:
        """Wait until somebody is at the point."""
        poll((self.folder / "reached").exists)

    def let_go(self) -> None:
        """Whoever is at the point goes on."""
        (self.folder / "go").touch()

    def hosts(self) -> list[str]:
        """The hosts that really run: each is one `unshare` with the sandbox's folder in its surroundings."""
        return [line for line in map(surroundings, Path("/proc").glob("[0-9]*")) if f"{self.folder}/hosts/" in line]

    def base(self) -> Base:
        """What an operator's process has."""
        return runtime.base(Settings.model_validate(_settings(self.variables)))

    def states(self) -> TofuState:
        """The states as the workers see them."""
        base = self.base()
        return TofuState(base.client, base.keys, crypto.load(self.folder / "encryption.key"))

    def resources(self) -> set[str]:
        """What the state knows."""
        return set((self.stepmark("state", "show", NAME)[1]["state"] or {"resources": {}})["resources"])


def _settings(variables: dict[str, str]) -> dict[str, str]:
    names = {name: name.removeprefix("STEPMARK_").lower() for name in variables if name.startswith("STEPMARK_")}
    return {names[name]: variables[name] for name in names}


def surroundings(process: Path) -> str:
    """The environment of a process, if it is the outer one of a host."""
    try:
        if (process / "comm").read_text().strip() != "unshare":
            return ""
        return (process / "environ").read_text()
    except OSError:
        return ""


@pytest.fixture
def ground(tmp_path: Path, redis_server: str) -> Iterator[Ground]:
    redis.Redis.from_url(redis_server).flushdb()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    crypto.create(tmp_path / "encryption.key")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("STEPMARK_")} | {
        "STEPMARK_REDIS_URL": redis_server,
        "STEPMARK_ENCRYPTION_KEY_FILE": str(tmp_path / "encryption.key"),
        "STEPMARK_LEASE_SECONDS": "2",
        "STEPMARK_GRACE_SECONDS": "0.5",
    }
    made = Ground(tmp_path, redis_server, variables)
    yield made
    made.let_go()
    for worker in made.workers:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    for host in api.instances(tmp_path / "hosts"):
        api.destroy(tmp_path / "hosts", host.name, print)
    assert made.hosts() == []


def killed(ground: Ground, worker: Worker) -> Callable[[], None]:
    """The worker and its pool die at once; its machine comes back later, with what was on its disk."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()

    def come_back() -> None:
        ground.worker("data-a")

    return come_back


def stopped(ground: Ground, worker: Worker) -> Callable[[], None]:
    """The worker and its pool stand still until another has finished the run; then they go on as if nothing were."""
    os.killpg(worker.pid, signal.SIGSTOP)

    def come_back() -> None:
        ground.let_go()
        os.killpg(worker.pid, signal.SIGCONT)

    return come_back


@pytest.mark.parametrize(
    ("point", "die"), sampled(tuple(product(POINTS, (killed, stopped))), ("made", killed), ("before save", stopped))
)
def test_one_host_whenever_the_worker_dies(
    ground: Ground, point: str, die: Callable[[Ground, Worker], Callable[[], None]]
) -> None:
    first = ground.worker("data-a", at=point)
    run = ground.launch()
    ground.reached()
    come_back = die(ground, first)
    second = ground.worker("data-b")

    record = ended(ground.base(), run, seconds=120)

    assert record.status is RunStatus.SUCCEEDED, record.failure
    assert (len(ground.hosts()), ground.resources()) == (1, {"terraform_data.host", "terraform_data.boot"})
    come_back()
    if (die, point) == (stopped, "before save"):
        orphans = OrphanStore(ground.states(), 60)
        poll(lambda: orphans.waiting(NAME))
        assert ground.resources() == {"terraform_data.host", "terraform_data.boot"}
    os.killpg(second.pid, signal.SIGTERM)
    second.wait(60)
    settled(ground, *ground.stepmark("provision", ground.fleet({"name": NAME})))
    assert (len(ground.hosts()), ground.resources()) == (1, {"terraform_data.host", "terraform_data.boot"})
    settled(ground, *ground.stepmark("destroy", NAME, "--yes"))
    assert (ground.hosts(), ground.resources()) == ([], set())


def settled(ground: Ground, status: int, document: dict[str, Any]) -> None:
    """The command went well; or it waits for somebody to settle what came late, and then goes well."""
    if status:
        failure = document["environments"][0]["failure"]
        assert failure["error_type"] == "OrphanedStateError", failure
        assert f"stepmark state reconcile {NAME}" in failure["error_summary"]
        reason = ("--reason", "the late one knows no other host")
        assert ground.stepmark("state", "reconcile", NAME, "--keep", "current", *reason)[0] == 0
        status, document = ground.stepmark("resume", NAME)
    assert status == 0, document


@pytest.mark.parametrize("store", ["refuse", "cut"])
def test_a_state_that_was_not_taken_is_given_by_another_worker(ground: Ground, store: str) -> None:
    """The host runs, and only a file says so; it goes with the workspace to whoever tries again."""
    first = ground.worker("data-a", FIRE_STORE=store)
    run = ground.launch()
    store_of = ground.base().store
    poll(lambda: store_of.run(run).earlier, seconds=120)
    failed = store_of.run(run)
    assert (failed.status, failed.step) == (RunStatus.WAITING, "opentofu-apply")
    assert failed.earlier[-1].kind is Kind.STATE_PERSISTENCE
    assert (ground.folder / "data-a/workspaces" / NAME / "errored.tfstate").exists()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    (ground.folder / "mended").touch()
    ground.worker("data-b")
    record = ended(ground.base(), run, seconds=120)

    assert record.status is RunStatus.SUCCEEDED, record.failure
    assert (len(ground.hosts()), ground.resources()) == (1, {"terraform_data.host", "terraform_data.boot"})
    assert list((ground.folder / "data-b/workspaces" / NAME).glob("pushed-*.tfstate"))
