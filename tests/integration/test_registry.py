"""The registry of workers: real workers as processes, as operators see them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers import registry
from workers.beats import SILENT_SECONDS
from workers.cli import main
from workers.launch import Launcher
from workers.refusals import RefusedError
from workers.registry import Condition, Order, Registry, WorkerRecord
from workers.runtime import Base


@pytest.fixture
def workers(base: Base) -> Registry:
    """The registry."""
    return Registry(base.client, base.keys)


def seen(workers: Registry, name: str = "w0@test") -> WorkerRecord | None:
    return next((each for each in workers.workers() if each.name == name), None)


def condition(workers: Registry, name: str = "w0@test") -> Condition | None:
    found = seen(workers, name)
    return found.condition if found else None


def test_a_worker_describes_itself_and_leaves(workers: Registry, start_worker: StartWorker) -> None:
    process = start_worker()

    found = poll(lambda: seen(workers))
    assert (found.pid, found.queues, found.slots, found.condition) == (process.pid, ("tools", "wait"), 2, "ready")
    assert (found.schema_version, found.running, found.drain) == (1, (), "")
    heard = found.heard_at
    assert poll(lambda: (again := seen(workers)) and again.heard_at > heard)

    process.terminate()
    assert process.wait(60) == 0
    assert workers.workers() == ()


def test_what_it_runs_is_shown(
    base: Base, workers: Registry, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    start_worker()
    run = launcher.launch(request(spec(fail="tofu.plan", how="wait"))).run

    poll(lambda: "web-1 tofu.plan" in steps_log.read_text())

    found = seen(workers)
    assert found
    assert [(each.environment, each.step) for each in found.running] == [("web-1", "opentofu-plan")]
    steps_log.with_name("go").touch()
    ended(base, run)


def test_a_drained_worker_ends_its_step_and_takes_none(
    base: Base, workers: Registry, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """Until it is told to go on; nothing of what came meanwhile is lost."""
    start_worker()
    held = launcher.launch(request(spec(fail="tofu.plan", how="wait"))).run
    poll(lambda: "web-1 tofu.plan" in steps_log.read_text())

    assert workers.drain("w0@test", "tester@here")
    poll(lambda: (found := seen(workers)) and not found.taking)
    assert condition(workers) is Condition.DRAINING
    more = [launcher.launch(request(spec(f"web-{number}"))).run for number in range(2, 12)]
    steps_log.with_name("go").touch()
    poll(lambda: condition(workers) is Condition.DRAINED)
    assert base.store.run(held).index == 5
    assert {line.partition(" ")[0] for line in steps_log.read_text().splitlines()} == {"web-1"}

    assert workers.drain("w0@test", "")
    for run in (held, *more):
        assert ended(base, run).status == "succeeded"
    lines = steps_log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 11 * 9


def test_nobody_is_drained_who_is_not_there(workers: Registry) -> None:
    assert not workers.drain("nobody@test", "tester@here")
    assert workers.workers() == ()


def test_a_drained_worker_stays_so_when_it_connects_anew(
    base: Base, workers: Registry, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """Its connections are cut, and Redis has forgotten the order: the worker has not."""
    start_worker()
    poll(lambda: seen(workers))
    workers.drain("w0@test", "tester@here")
    poll(lambda: condition(workers) is Condition.DRAINED)

    base.client.hset(base.keys.worker("w0@test"), mapping={"order": 0, "drain": ""})
    base.client.client_kill_filter(_type="normal", skipme=True)
    base.client.client_kill_filter(_type="pubsub", skipme=True)
    run = launcher.launch(request(spec())).run
    before = base.client.time()[0]
    poll(lambda: (found := seen(workers)) and found.heard_at > before + 4)

    assert condition(workers) is Condition.DRAINED
    assert base.store.run(run).status == "queued"
    workers.drain("w0@test", "")
    assert ended(base, run).status == "succeeded"


def test_a_restarted_worker_is_not_drained(workers: Registry, start_worker: StartWorker) -> None:
    first = start_worker("-n", "same@test")
    poll(lambda: seen(workers, "same@test"))
    workers.drain("same@test", "tester@here")
    poll(lambda: condition(workers, "same@test") is Condition.DRAINED)
    first.terminate()
    first.wait(60)

    start_worker("-n", "same@test")

    poll(lambda: condition(workers, "same@test") is Condition.READY)


def test_of_two_workers_of_one_name_the_second_does_not_start(
    workers: Registry, start_worker: StartWorker, tmp_path: Path
) -> None:
    first = start_worker("-n", "same@test")
    poll(lambda: seen(workers, "same@test"))

    second = start_worker("-n", "same@test")

    assert second.wait(60) == 1
    said = (tmp_path / "w1@test.log").read_text()
    assert f"Another worker is called same@test: process {os.uname().nodename}/{first.pid}" in said
    assert (first.poll(), seen(workers, "same@test").pid) == (None, first.pid)


def test_the_name_of_a_killed_worker_is_free_again(
    base: Base, workers: Registry, launcher: Launcher, start_worker: StartWorker
) -> None:
    first = start_worker("-n", "same@test")
    poll(lambda: seen(workers, "same@test"))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(30)

    second: subprocess.Popen[bytes] = start_worker("-n", "same@test")

    poll(lambda: seen(workers, "same@test").pid == second.pid)
    assert ended(base, launcher.launch(request(spec())).run).status == "succeeded"


def test_a_killed_worker_is_silent(workers: Registry, start_worker: StartWorker) -> None:
    process = start_worker()
    poll(lambda: seen(workers))
    os.killpg(process.pid, signal.SIGKILL)

    poll(lambda: condition(workers) is Condition.SILENT)


def test_a_worker_that_ends_is_shown_until_its_steps_have(
    base: Base, workers: Registry, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    process = start_worker()
    launcher.launch(request(spec(fail="tofu.plan", how="wait")))
    poll(lambda: "web-1 tofu.plan" in steps_log.read_text())
    process.terminate()

    stopping = poll(lambda: condition(workers) is Condition.STOPPING and seen(workers))
    assert [run.step for run in stopping.running] == ["opentofu-plan"]
    poll(lambda: seen(workers).heard_at > stopping.heard_at + SILENT_SECONDS)
    assert condition(workers) is Condition.STOPPING

    steps_log.with_name("go").touch()
    assert process.wait(60) == 0
    assert workers.workers() == ()


def test_a_second_start_is_refused_before_celery_begins(workers: Registry, start_worker: StartWorker) -> None:
    """One that was killed stands in nobody's way: nothing is heard of it again."""
    first = start_worker()
    poll(lambda: seen(workers))

    twin = workers.twin(["w0@test", "other@test"])
    assert twin is not None
    assert twin.pid == first.pid
    said = CliRunner().invoke(main.app, ["worker", "--queues", "wait", "-n", "w0@test"])
    assert isinstance(said.exception, RefusedError)
    assert str(said.exception) == f"another worker is called w0@test: process {twin.machine}/{first.pid}"

    first.kill()
    first.wait(60)
    assert workers.twin(["w0@test"]) is None


def test_one_that_was_drained_stays_so_when_its_crew_starts_it_again(
    base: Base, workers: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever drains for maintenance must not see it work again because a process was killed meanwhile."""
    monkeypatch.setattr(registry, "SILENT_SECONDS", 0.0)
    workers.beat("w0@test", "first", Order(), {}, "a crew")
    workers.drain("w0@test", "tester@here")

    again = workers.beat("w0@test", "second", Order(), {}, "a crew")
    by_another = workers.beat("w0@test", "third", Order(), {}, "another crew")
    by_nobody = workers.beat("w0@test", "fourth", Order(), {})

    assert (again.drain, by_another.drain, by_nobody.drain) == ("tester@here", "", "")
