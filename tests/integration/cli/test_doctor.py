"""`doctor`, on the machine that runs the tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker
from tests.support import poll
from workers.cli.reports import Exit
from workers.registry import Registry
from workers.runtime import Base


def test_doctor_finds_what_is_there(stepmark: Stepmark, worker: subprocess.Popen[bytes], base: Base) -> None:
    poll(lambda: Registry(base.client, base.keys).workers())
    said = stepmark("doctor", "--json")
    found = {check["name"]: check for check in said.json["checks"]}

    assert said.json["ok"] is (said.status == Exit.OK)
    assert all(check.keys() == {"name", "verdict", "detail", "advice"} for check in said.json["checks"])
    assert [name for name in found if not name.startswith("sandbox")] == [
        *("python", "opentofu", "ssh", "ansible", "redis user", "redis", "redis persistence", "redis replicas"),
        *("redis eviction", "encryption key", "workers", "schedules"),
    ]
    assert found["workers"]["verdict"] == "ok"
    assert found["redis"]["verdict"] == found["encryption key"]["verdict"] == found["python"]["verdict"] == "ok"
    assert {"sandbox light", "sandbox rootless", "sandbox full"} < found.keys()


def test_doctor_says_how_to_get_what_is_missing(stepmark: Stepmark, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said = stepmark("doctor")
    lines = said.out.splitlines()

    assert said.status == Exit.FAILED
    (ssh,) = (number for number, line in enumerate(lines) if line.startswith("missing ssh "))
    assert lines[ssh + 1].strip() == "Debian package openssh-client"
    assert any(line.startswith("limited opentofu") for line in lines)


def test_doctor_asks_the_workers_for_what_a_fleet_needs(
    stepmark: Stepmark, base: Base, start_worker: StartWorker, fleet: Callable[..., Path]
) -> None:
    start_worker(KEY="")
    poll(lambda: Registry(base.client, base.keys).workers())

    said = stepmark("doctor", fleet(web_1={}), "--json")

    found = {check["name"]: check for check in said.json["checks"]}["workers' equipment"]
    assert said.status == Exit.FAILED
    assert found["verdict"] == "missing"
    assert "worker w0@test: secret env:KEY: the variable is not set, or empty" in found["detail"]
