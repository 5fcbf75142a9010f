"""What is left behind, or hidden behind others, is found all the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.adapters import remote_scope
from tasks.adapters.remote_scope import Scope
from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus
from tests.integration import scripted
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.test_scripts import message
from tests.support import poll
from workers import callbacks, crypto, reaper, statelock
from workers.launch import Launcher, Resumption
from workers.names import Names
from workers.reaper import Reaper
from workers.refusals import RefusedError
from workers.runtime import Base
from workers.tofustate import Owner, TofuState


@pytest.fixture
def looking(base: Base) -> Reaper:
    """A reaper that has looked once: Redis is not new to it."""
    found = Reaper(base, scripted.app)
    found.look()
    base.client.hset(base.keys.server(), "since", 0)
    return found


def test_a_lost_run_behind_many_that_another_version_keeps(base: Base, launcher: Launcher, looking: Reaper) -> None:
    now = base.now()
    for number in range(reaper._PAGE + 1):
        run = f"f{number:018}"
        fields = {"schema": "2", "run": run, "status": "running", "execution": f"{run}.1.1.1.x"}
        base.client.hset(base.keys.run(run), mapping=fields)
        base.client.zadd(base.keys.leases(), {f"{run}.1.1.1.x": now - 5000})
    place = launcher.launch(request(spec()))
    execution = base.tracker.start(message(place), "dead@vm1")
    base.client.zadd(base.keys.leases(), {execution.name: now - 1000})

    for _ in range(2):
        looking.look()

    assert base.store.run(place.run).epoch == 2


def test_what_has_ended_or_is_gone_is_due_no_more(base: Base, launcher: Launcher, looking: Reaper) -> None:
    """A Redis whose file was torn comes back so. What goes on, and what another version keeps, stays."""
    places = [launcher.launch(request(spec(name))) for name in ("web-1", "web-2")]
    base.client.hset(base.keys.run(places[0].run), "status", "cancelled")
    base.client.hset(base.keys.run("of-another"), mapping={"schema": "99", "status": "cancelled"})
    base.client.zadd(base.keys.due(), {places[0].run: 1, places[1].run: 2, "of-another": 3, "gone": 4})

    looking.look()

    assert set(base.client.zrange(base.keys.due(), 0, -1)) == {places[1].run, "of-another"}


@pytest.mark.parametrize("status", ["waiting", "queued", "running"])
def test_a_run_that_stands_in_no_set_is_put_back(
    status: str, base: Base, launcher: Launcher, looking: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that Redis refused in its middle has left it so."""
    monkeypatch.setattr(reaper, "_SELDOM_LOOKS", 1)
    place = launcher.launch(request(spec()))
    execution = base.tracker.start(message(place), "w0@test").name if status == "running" else ""
    base.client.hset(base.keys.run(place.run), mapping={"status": status, "due_at": base.now() + 600})
    where = {"waiting": base.keys.retries(), "queued": base.keys.due(), "running": base.keys.leases()}[status]
    for key in (base.keys.retries(), base.keys.due(), base.keys.leases()):
        base.client.delete(key)

    looking.look()

    assert base.client.zscore(where, execution or place.run) is not None


def test_a_lock_is_not_freed_while_its_tool_may_be_ending(base: Base, launcher: Launcher) -> None:
    """Its process of the pool was killed: the run waits to be tried again, and the environment is held."""
    place = launcher.launch(request(spec()))
    base.tracker.start(message(place), "tools@vm1")
    states = TofuState(base.client, base.keys, crypto.load(base.settings.encryption_key_file))
    states.lock(Owner("web-1", place.run, 1), {"ID": "lock-of-apply", "Who": "tofu", "Operation": "apply"})
    found = Failure(Kind.WORKER_LOST, Cause.KILLED, "WorkerLostError", "signal 9")
    assert callbacks.end_badly(base, base.store.run(place.run), found, ())[1] == "waiting"
    lock = statelock.held(base, "web-1")
    assert lock

    with pytest.raises(RefusedError, match="is held by run"):
        statelock.release(base, "web-1", lock, "op@desk", "it looks dead")


def test_what_was_not_possible_and_is_done_now_leaves_nothing_partial(
    base: Base, launcher: Launcher, start_worker: StartWorker
) -> None:
    start_worker()
    both = spec(**{"not-possible": "tofu.validate", "fail": "tofu.plan", "how": "same"})
    failed = ended(base, launcher.launch(request(both)).run)
    assert failed.partial

    launcher.resume(failed, Resumption(step="opentofu-validate", spec=spec()), "op@desk")

    assert ended(base, failed.run).status is RunStatus.SUCCEEDED
    assert not base.store.run(failed.run).partial
    assert not base.store.environment("web-1").partial


def test_a_run_that_its_host_refuses_says_so(base: Base, launcher: Launcher, start_worker: StartWorker) -> None:
    """It holds the claim, and its host knows a later epoch: Redis was restored, or its clock went back."""
    start_worker()
    run = launcher.launch(request(spec(fail="ssh.wait", how="refused"))).run

    failure = ended(base, run).failure

    assert failure
    assert (failure.failed_step, failure.error_kind) == ("wait-ssh-connectivity", Kind.COMMAND_EXECUTION)
    assert failure.error_summary == "the host refuses this run: a later epoch works on the host: /run/stepmark/web-1"
    assert "launch a new run" in failure.hint
    assert base.store.run(run).epoch == 1


def test_a_renamed_environment_ends_what_its_lost_run_has_left_on_the_host(
    base: Base, launcher: Launcher, tmp_path: Path
) -> None:
    """Its commands go on under the name that the host knows, whatever the environment is called now."""
    place = launcher.launch(request(spec("zz-old"), "register"))
    left = subprocess.Popen(
        ["sh", "-c", remote_scope.within(Scope("zz-old", place.run, 1), f"touch {tmp_path}/began; sleep 60")],
        start_new_session=True,
    )
    try:
        poll(lambda: (tmp_path / "began").exists())
        callbacks.end_badly(base, base.store.run(place.run), _cut_off(), (), final=True)
        Names(base).adopt("zz-old", "zz-new", "renamed")
        name = base.store.facts("zz-new").scope_name or ""

        subprocess.run(["sh", "-c", remote_scope.within(Scope(name, place.run, 2), "true")], check=True)

        poll(lambda: left.poll() is not None)
        assert name == "zz-old"
    finally:
        left.kill()
        shutil.rmtree("/run/stepmark/zz-old", ignore_errors=True)


def _cut_off() -> Failure:
    return Failure(Kind.WORKER_LOST, Cause.LOST_MESSAGE, "LostRun", "no worker has taken the step's message")
