"""Workers and commands of one version meet messages, runs and environments of another one.

A message of another schema is neither run nor lost; an environment or run that another version keeps is refused, left
alone by the reaper, and hides no other; a run of an older version, whose workflow had other steps, fails cleanly.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import workflows
from tasks.errors import Kind
from tasks.identity import HEADER
from tasks.workflows.model import Step
from tests.integration import scripted
from tests.integration.cli.conftest import Stepmark, fleet, stepmark
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers.launch import Launcher
from workers.overview import Overviews
from workers.registry import Registry
from workers.runtime import Base

__all__ = ["fleet", "stepmark"]


def said(tmp_path: Path) -> str:
    return (tmp_path / "w0@test.log").read_text()


def test_a_message_of_another_schema_is_neither_run_nor_lost(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path, tmp_path: Path
) -> None:
    """Its step stays due, and the reaper sends it again; one line says why, without a traceback."""
    run = launcher.launch(request(spec())).run
    assert base.client.delete(base.keys.queue("tools")) == 1
    identity = {"schema_version": 2, "run": run, "place": "somewhere else by then"}
    step = scripted.app.signature("tofu.render", immutable=True)
    step.set(
        queue="tools", task_id="theirs", headers={HEADER: identity}, link_error="stepmark.chain_failed"
    ).apply_async()

    start_worker()
    poll(lambda: "theirs is of schema 2" in said(tmp_path))

    assert base.store.run(run).live
    assert ended(base, run).status == "succeeded"
    assert len(steps_log.read_text().splitlines()) == 9
    lines = [line for line in said(tmp_path).splitlines() if "theirs" in line and "received" not in line]
    assert [line.partition(" Message")[2] for line in lines if "Message" in line] == [
        " theirs is of schema 2, this version knows 1: its step stays due"
    ]
    assert "Traceback" not in said(tmp_path)


def test_what_a_later_version_keeps_is_left_to_it(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """A due run and one whose lease has lapsed: no reaper of this version touches them, and ours go on beside them."""
    due, running = (launcher.launch(request(spec(name))).run for name in ("due", "running"))
    base.client.delete(base.keys.queue("tools"))
    execution = f"{running}.1.1.1"
    theirs = {"schema": 2, "names": "of another form"}
    base.client.hset(base.keys.run(due), mapping=theirs)
    base.client.hset(base.keys.run(running), mapping=theirs | {"status": "running", "execution": execution})
    base.client.zrem(base.keys.due(), running)
    base.client.zadd(base.keys.leases(), {execution: time.time() - 100})
    before = [base.client.hgetall(base.keys.run(run)) for run in (due, running)]

    start_worker()
    ours = launcher.launch(request(spec("ours", fail="ssh.wait", how="network"))).run
    assert ended(base, ours).status in ("succeeded", "failed")
    time_of_a_look = base.now()
    poll(lambda: base.now() > time_of_a_look + 3 * base.settings.lease_seconds)

    assert [base.client.hgetall(base.keys.run(run)) for run in (due, running)] == before
    assert base.client.zrange(base.keys.due(), 0, -1) == [due]
    assert base.client.zrange(base.keys.leases(), 0, -1) == [execution]
    assert {line.split()[0] for line in steps_log.read_text().splitlines()} == {"ours"}


@pytest.mark.parametrize(
    "words",
    [
        ("show", "theirs"),
        ("destroy", "theirs", "--yes"),
        ("resume", "theirs"),
        ("retry", "theirs", "--from", "wait-ssh-connectivity"),
        ("cancel", "theirs"),
        ("status", "theirs"),
        ("forget", "theirs", "--reason", "x", "--yes"),
        ("adopt", "theirs", "ours", "--yes"),
    ],
    ids=lambda words: words[0],
)
def test_an_environment_of_a_later_version_is_refused(
    words: tuple[str, ...], stepmark: Stepmark, base: Base, launcher: Launcher
) -> None:
    launcher.launch(request(spec("theirs")))
    base.client.hset(base.keys.environment("theirs"), "schema", 2)
    Overviews(base.client, base.keys).correct(["theirs"])

    refused = stepmark(*words, "--json")

    assert refused.status == 3
    assert refused.json["error"]["message"] == "environment theirs is kept in schema 2, which is not ours"
    assert "use the version of stepmark that wrote it" in refused.json["error"]["help"]


def test_it_hides_no_other(
    stepmark: Stepmark, base: Base, launcher: Launcher, fleet: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("theirs", "ours"):
        launcher.launch(request(spec(name)))
    base.client.hset(base.keys.environment("theirs"), mapping={"schema": 2, "state": "of their own", "run": ""})
    Overviews(base.client, base.keys).correct(["theirs"])

    assert [each["environment"] for each in stepmark("status", "--json").json["environments"]] == ["ours"]
    assert "environment theirs is kept in schema 2, which is not ours" in caplog.text
    launched = stepmark("register", fleet(theirs={}), "--detach", "--json")
    assert launched.json["environments"][0]["error"]["message"] == (
        "environment theirs is kept in schema 2, which is not ours"
    )


def test_a_run_of_an_older_version_with_other_steps_fails_cleanly(
    base: Base, launcher: Launcher, start_worker: StartWorker, steps_log: Path
) -> None:
    """What it was at is said, and the environment is free: it can be launched anew."""
    run = launcher.launch(request(spec())).run
    names = json.loads(base.client.hget(base.keys.run(run), "names"))
    base.client.hset(base.keys.run(run), "names", json.dumps(["check-disk", *names[1:]]))

    start_worker()
    record = ended(base, run)

    assert record.failure is not None
    assert (record.status, record.failure.error_kind) == ("failed", Kind.CONFIGURATION)
    assert "this version's workflow has other steps" in record.failure.error_summary
    assert steps_log.read_text() == ""
    assert ended(base, launcher.launch(request(spec())).run).status == "succeeded"


def test_workers_say_which_schema_they_know(base: Base, start_worker: StartWorker) -> None:
    """Before a schema changes, an operator sees who still knows the old one."""
    start_worker()

    (found,) = poll(lambda: Registry(base.client, base.keys).workers())
    assert found.schema_version == 1


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        (scripted.SWAPPED.steps, "2/9 opentofu-validate"),
        ((*scripted.SWAPPED.steps[:1], *scripted.TWICE.steps), "2/4 first-look"),
        ((*workflows.WORKFLOWS["provision"].steps, scripted.TWICE.steps[0]), "10/10 first-look"),
    ],
    ids=["other order", "shorter", "longer"],
)
def test_a_chain_that_another_version_sent_ends_at_the_step_that_is_another_here(
    steps: tuple[Step, ...],
    place: str,
    base: Base,
    launcher: Launcher,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It never works under the limits of another step."""
    theirs = dataclasses.replace(scripted.SWAPPED, name="provision", steps=steps)
    monkeypatch.setitem(workflows.WORKFLOWS, "provision", theirs)  # type: ignore[arg-type]  # read-only for others
    run = launcher.launch(request(spec())).run

    start_worker()
    failed = ended(base, run).failure

    assert failed is not None
    assert f"{failed.step_index}/{failed.step_total} {failed.failed_step}" == place
    assert failed.error_kind is Kind.CONFIGURATION
    assert failed.error_summary == "launch it anew: this version's workflow has other steps than when the run began"
    assert len(failed.completed_steps) == failed.step_index - 1
