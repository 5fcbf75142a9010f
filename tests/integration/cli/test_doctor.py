"""`doctor`, on the machine that runs the tests."""

from __future__ import annotations

import subprocess

from tests.integration.cli.conftest import Stepmark
from workers.cli.reports import Exit


def test_doctor_finds_what_is_there(stepmark: Stepmark, worker: subprocess.Popen[bytes]) -> None:
    said = stepmark("doctor", "--json")
    found = {check["name"]: check for check in said.json["checks"]}

    assert said.json["ok"] is (said.status == Exit.OK)
    assert all(check.keys() == {"name", "verdict", "detail", "advice"} for check in said.json["checks"])
    assert [name for name in found if not name.startswith("sandbox")] == [
        *("python", "opentofu", "ssh", "ansible", "redis", "redis persistence", "redis eviction", "encryption key"),
        "workers",
    ]
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
