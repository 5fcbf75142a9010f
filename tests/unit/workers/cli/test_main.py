"""Exit statuses, messages and JSON of what goes wrong before Redis is reached; help for every command."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from config.errors import FleetFileError, Problem, SecretError
from tasks.errors import ConfigurationError, NetworkError
from tests.unit.workers.cli.conftest import Stepmark
from workers.cli import main, reports
from workers.cli.reports import Exit, Report
from workers.refusals import BusyError, ConflictError, NotFoundError, RefusedError

COMMANDS = (
    *("init", "validate", "schema", "up", "provision", "configure", "destroy", "register", "status", "show"),
    *("trace", "logs", "resume", "retry", "skip", "cancel", "pause", "unpause", "worker", "doctor", "demo"),
    *("orphans", "forget", "adopt", "drift"),
)
REDIS_COMMANDS = (
    ("destroy", "web-1", "--yes"),
    ("status",),
    ("show", "web-1"),
    ("trace", "web-1"),
    ("logs", "web-1"),
    ("resume", "web-1"),
    ("retry", "web-1", "--from", "opentofu-apply"),
    ("skip", "web-1", "--reason", "why"),
    ("cancel", "web-1"),
    ("pause",),
    ("unpause",),
    ("retention", "run"),
)
FLEET_COMMANDS = ("up", "provision", "configure", "register", "drift")


def test_the_commands_are_those_that_are_promised() -> None:
    groups = {"state", "retention", "rollout", "schedule"}
    assert set(typer.main.get_command(main.app).commands) == {*COMMANDS, *groups}  # type: ignore[attr-defined]  # a group


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, stepmark: Stepmark) -> None:
    said = stepmark(command, "--help")

    assert said.status == Exit.OK
    assert f"Example: stepmark {command}" in said.out
    assert "--json" in said.out


def test_version(stepmark: Stepmark) -> None:
    said = stepmark("--version")

    assert (said.status, said.out.split()[0]) == (Exit.OK, "stepmark")


@pytest.mark.parametrize("command", REDIS_COMMANDS, ids=lambda words: words[0])
def test_without_redis(command: tuple[str, ...], stepmark: Stepmark) -> None:
    said = stepmark(*command)

    assert said.status == Exit.NO_REDIS
    assert said.out == ""
    assert "error: Redis does not answer: Error 111" in said.err
    assert "STEPMARK_REDIS_URL" in said.err


@pytest.mark.parametrize("command", REDIS_COMMANDS[-1:], ids=lambda words: words[0])
def test_without_redis_in_json(command: tuple[str, ...], stepmark: Stepmark) -> None:
    said = stepmark(*command, "--json")

    assert said.status == Exit.NO_REDIS
    assert said.err == ""
    assert said.json["error"].keys() == {"kind", "message", "help", "problems"}
    assert said.json["error"]["kind"] == "redis"


@pytest.mark.parametrize("command", FLEET_COMMANDS)
def test_launching_without_redis(command: str, stepmark: Stepmark) -> None:
    stepmark("init")

    assert stepmark(command, "--json").json["error"]["kind"] == "redis"


@pytest.mark.parametrize("command", [*FLEET_COMMANDS, "validate"])
def test_a_fleet_file_that_is_not_there(command: str, stepmark: Stepmark) -> None:
    said = stepmark(command, "nowhere.yaml", "--json")

    assert said.status == Exit.USAGE
    assert said.json["error"]["kind"] == "configuration"
    assert "STEPMARK_FLEET_FILE" in said.json["error"]["help"]
    assert said.json["error"]["problems"] == [
        {
            "file": "nowhere.yaml",
            "line": 0,
            "column": 0,
            "path": "",
            "message": "cannot be read: No such file or directory",
            "text": "nowhere.yaml: cannot be read: No such file or directory",
        }
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("upp",), "No such command 'upp'. Did you mean 'up'?"),
        (("up", "--nope"), "No such option: --nope"),
        (("retry", "web-1"), "say from which step, or --failed"),
        (("show",), "Missing argument 'ENV'"),
        (("up", "--label", "tier"), "'tier' is not KEY=VALUE"),
        (("provision", "--plan", "--detach"), "leave out --detach"),
        (("worker", "--queues", "tools,fast"), "'tools,fast' is no list of queues; known: wait, tools"),
        (("worker", "-n", "mine"), "choose one queue"),
        (("destroy", "web-1"), "nobody can be asked here: say --yes"),
        (("retry",), "name environments, or say --failed"),
        (("retry", "web-1", "--from", "opentofu-plan", "--batch", "2"), "is said with --failed"),
        (("retry", "--failed", "--nothing-made", "--canary", "1"), "is said with --failed"),
        (("retry", "--failed", "--budget", "quotta=1"), "'quotta' is no step and no kind"),
        (("rollout", "resume", "--canary", "1"), "No such option: --canary"),
    ],
)
def test_a_command_line_that_cannot_be_read(words: tuple[str, ...], message: str, stepmark: Stepmark) -> None:
    stepmark("init")
    text, as_json = stepmark(*words), stepmark(*words, "--json")

    assert (text.status, text.out) == (Exit.USAGE, "")
    assert message in text.err
    assert as_json.status == Exit.USAGE
    assert as_json.json["error"]["kind"] == "usage"
    assert message in as_json.json["error"]["message"]


def test_what_is_said_to_a_command_is_no_value_of_it(stepmark: Stepmark) -> None:
    assert stepmark("destroy", "web-1").err.splitlines()[0] == "error: nobody can be asked here: say --yes"
    assert stepmark("retry").err.splitlines()[0] == "error: name environments, or say --failed"
    assert "Invalid value for --state" in stepmark("status", "--state", "none").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--env", "web-9"), "no environment is called `web-9`; did you mean `web-1`?"),
        (("--env", "Web_9"), "no environment is called `Web_9`"),
        (("--group", "wob"), "no group is called `wob`; did you mean `web`?"),
        (("--label", "tier=none"), "no environment is selected"),
    ],
)
def test_a_choice_of_nothing(words: tuple[str, ...], message: str, stepmark: Stepmark) -> None:
    stepmark("init")
    said = stepmark("up", *words)

    assert said.status == Exit.USAGE
    assert message in said.err


def test_settings_that_cannot_be_read(stepmark: Stepmark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPMARK_LEASE_SECONDS", "soon")
    said = stepmark("status")

    assert said.status == Exit.USAGE
    assert "STEPMARK_LEASE_SECONDS: Input should be a valid number" in said.err


def test_a_worker_needs_the_encryption_key(stepmark: Stepmark) -> None:
    said = stepmark("worker")

    assert said.status == Exit.USAGE
    assert "`stepmark init` writes one" in said.err


def test_destroying_needs_somebody_to_ask(stepmark: Stepmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even before Redis is asked."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    said = stepmark("destroy", "web-1")

    assert said.status == Exit.USAGE
    assert "say --yes" in said.err


def test_a_bug_shows_one_line_and_keeps_its_traceback(stepmark: Stepmark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.cli.declare.fleet_schema.schema", lambda: 1 // 0)
    said = stepmark("schema", "--json")
    report = said.json["error"]

    assert said.status == Exit.FAILED
    assert said.err == ""
    assert report["message"] == "this is a bug of ours: ZeroDivisionError: integer division or modulo by zero"
    kept = Path(report["help"].rpartition(" ")[2])
    assert "ZeroDivisionError" in kept.read_text()
    kept.unlink()


def test_debug_shows_the_traceback(stepmark: Stepmark) -> None:
    assert "Traceback" in stepmark("--debug", "show", "web-1").err


PROBLEM = Problem("f.yaml", 3, 5, "a.b", "is wrong")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BusyError("held", "wait", "web-1", "r1"), Report(Exit.REFUSED, "busy", "held", "wait")),
        (ConflictError("changed", "again"), Report(Exit.REFUSED, "conflict", "changed", "again")),
        (RefusedError("no", "do"), Report(Exit.REFUSED, "refused", "no", "do")),
        (NotFoundError("run 'r'", "look"), Report(Exit.USAGE, "not-found", "there is no run 'r'", "look")),
        (ConfigurationError("bad"), Report(Exit.USAGE, "configuration", "bad")),
        (NetworkError("gone"), Report(Exit.FAILED, "network-connectivity", "gone")),
        (
            SecretError("env:X", "is not set"),
            Report(Exit.USAGE, "configuration", "secret env:X: is not set", SecretError.help),
        ),
        (PermissionError(13, "denied", "f"), Report(Exit.USAGE, "file-system", "[Errno 13] denied: 'f'")),
        (typer.Abort(), Report(Exit.FAILED, "aborted", "nothing was done")),
        (
            FleetFileError([PROBLEM]),
            Report(
                Exit.USAGE,
                "configuration",
                "1 problem in f.yaml",
                FleetFileError.help,
                (vars(PROBLEM) | {"text": "f.yaml:3:5: a.b: is wrong"},),
            ),
        ),
        (KeyError("x"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_report(error: Exception, expected: Report | None) -> None:
    assert reports.report(error) == expected
