"""`init`, `validate` and `schema`."""

from __future__ import annotations

from pathlib import Path

from config import example, fleet_schema
from tests.unit.workers.cli.conftest import Stepmark
from workers.cli.reports import Exit


def test_init_writes_the_example_and_a_key(stepmark: Stepmark, tmp_path: Path) -> None:
    said = stepmark("init")
    key = tmp_path / "keys" / "encryption.key"

    assert said.status == Exit.OK
    assert Path("fleet.yaml").read_text() == example.text()
    assert key.stat().st_mode & 0o777 == 0o600
    assert str(key) in said.out
    assert "stepmark up fleet.yaml" in said.out


def test_init_writes_over_nothing(stepmark: Stepmark, tmp_path: Path) -> None:
    first = stepmark("init", "--json")
    key = (tmp_path / "keys" / "encryption.key").read_text()
    Path("fleet.yaml").write_text("mine")
    refused, forced = stepmark("init", "--json"), stepmark("init", "--force", "--json")

    assert first.json["encryption_key_created"] is True
    assert refused.status == Exit.USAGE
    assert refused.json["error"]["message"] == "fleet.yaml is there already"
    assert forced.json == {**first.json, "encryption_key_created": False}
    assert (tmp_path / "keys" / "encryption.key").read_text() == key


def test_validate_lists_what_is_declared(stepmark: Stepmark) -> None:
    stepmark("init")
    text, as_json = stepmark("validate"), stepmark("validate", "--json")

    assert text.status == as_json.status == Exit.OK
    assert "fleet.yaml is right" in text.out
    assert "schedule often: configure, every 6h" in text.out
    assert [environment["name"] for environment in as_json.json["environments"]] == ["web-1", "staging", "office"]
    assert as_json.json.keys() == {"file", "environments", "schedules", "warnings"}
    assert (as_json.json["warnings"], text.err) == ([], "")


def test_validate_warns_of_schedules_that_would_wait_for_somebody(stepmark: Stepmark) -> None:
    host = "- {name: web-1, provider: {name: sandbox, host: light}, ssh: {key: env:KEY}}"
    schedules = "\n".join(
        f'- {{name: {name}, workflow: {name}, cron: "0 3 * * *", select: all}}' for name in ("configure", "drift-check")
    )
    declared = f"environments:\n{host}\nschedules:\n{schedules}\nrollout:\n  canary: {{size: 1}}\n"
    Path("fleet.yaml").write_text(declared)

    said, as_json = stepmark("validate"), stepmark("validate", "--json")

    assert (said.status, said.err.count("schedule ")) == (Exit.OK, 1)
    assert said.err.startswith("schedule configure: each firing pauses when its canary has ended")
    assert len(as_json.json["warnings"]) == 1
    Path("fleet.yaml").write_text(declared.replace("size: 1", "size: 1, then: go-on"))
    assert stepmark("validate").err == ""


def test_validate_names_every_problem_with_its_place(stepmark: Stepmark) -> None:
    Path("fleet.yaml").write_text("environments:\n- name: Web\n  provider: {name: sandbox}\n  ssh: {key: abc}\n")
    said = stepmark("validate")

    assert said.status == Exit.USAGE
    assert "2 problems in fleet.yaml" in said.err
    assert "fleet.yaml:2:3: environments[0].name: must be a-z" in said.err
    assert "fleet.yaml:4:9: environments[0].ssh.key: write where the secret is" in said.err


def test_validate_knows_the_steps(stepmark: Stepmark) -> None:
    """The second pass, which only `tasks` can do."""
    text = (
        example.text()
        .replace("reboot_time", "reboot_time")
        .replace("    # timeouts:\n    #   install-docker: 1200", "    timeouts:\n      install-dokcer: 1200")
    )
    Path("fleet.yaml").write_text(text)
    said = stepmark("validate")

    assert said.status == Exit.USAGE
    assert "no step is called `install-dokcer`; did you mean `install-docker`?" in said.err


def test_schema_is_the_schema(stepmark: Stepmark) -> None:
    assert stepmark("schema").json == fleet_schema.schema()


def test_an_environment_in_place_of_a_fleet_file(stepmark: Stepmark) -> None:
    said, path = stepmark("validate", "web-1"), stepmark("validate", "fleets/web-1")

    assert (said.status, path.status) == (Exit.USAGE, Exit.USAGE)
    assert "an environment is chosen by `--env web-1`" in said.err
    assert "--env" not in path.err
