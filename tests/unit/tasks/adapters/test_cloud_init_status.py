"""What cloud-init's versions say, and waiting for it over a real connection."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import cloud_init_status, ssh
from tasks.facts import CloudInit
from tests.unit.tasks import commands
from tests.unit.tasks.adapters.sshserver import Answer, Server

CASES = sorted((Path(__file__).parents[3] / "cases" / "cloud_init").glob("*.json"))
RUNNING = '{"status": "running", "errors": []}'
DONE = '{"status": "done", "errors": []}'


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_init_status, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_ended(path: Path) -> None:
    case = json.loads(path.read_text())

    found = cloud_init_status.ended("\n".join(case["stdout"]))

    assert found == (CloudInit.model_validate(case["ended"]) if case["ended"] else None)


def answers(server: Server, *several: Answer | None) -> None:
    """Have it answer so, one after the other; None: the connection breaks."""
    left = list(several)

    def answer(_: str) -> Answer:
        current = left.pop(0)
        if current is None:
            raise ConnectionError
        return current

    server.answer = answer


def test_a_host_that_restarts_meanwhile_is_waited_for(server: Server, target: ssh.Target) -> None:
    log: list[str] = []
    answers(server, (0, RUNNING, ""), None, (0, RUNNING, ""), (0, DONE, ""))

    assert cloud_init_status.wait(target, commands.session(log)) == CloudInit(status="done")
    assert set(server.asked) == {cloud_init_status.COMMAND}
    assert [line for line in log if line.startswith("cloud-init")] == ["cloud-init is running"] * 2


def test_a_host_without_it(server: Server, target: ssh.Target) -> None:
    answers(server, (cloud_init_status.ABSENT, "", ""))

    assert cloud_init_status.wait(target, commands.session()) is None


def test_an_error_is_named_and_redacted(server: Server, target: ssh.Target) -> None:
    session = commands.session()
    session.redact.add("hunter22")
    answers(server, (1, '{"status": "error", "errors": ["runcmd hunter22 failed", "and more"]}', ""))

    with pytest.raises(errors.RemoteCommandError) as caught:
        cloud_init_status.wait(target, session)

    assert caught.value.args == (
        "cloud-init ended with an error: runcmd *** failed",
        f"ssh -p {server.port} root@127.0.0.1 'cloud-init status --long'",
        1,
        "runcmd *** failed\nand more",
    )


def test_recoverable_errors_are_no_failure(server: Server, target: ssh.Target) -> None:
    said = '{"status": "done", "extended_status": "degraded done", "recoverable_errors": {"WARNING": ["old key"]}}'
    answers(server, (2, said, ""))

    assert cloud_init_status.wait(target, commands.session()) == CloudInit(status="degraded", errors=("old key",))


def test_a_refused_key_is_not_waited_out(server: Server, target: ssh.Target) -> None:
    server.let_in.clear()

    with pytest.raises(errors.AuthenticationError):
        cloud_init_status.wait(target, commands.session())


def test_time_passes(server: Server, target: ssh.Target) -> None:
    server.answer = lambda _: (0, RUNNING, "")

    with pytest.raises(errors.DeadlineError, match="cloud-init did not end in time: cloud-init is running"):
        cloud_init_status.wait(target, commands.session(seconds=1.5))


def test_a_host_that_hangs_is_asked_again(server: Server, target: ssh.Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_init_status, "ASK_SECONDS", 0.5)
    asked = []

    def answer(_: str) -> Answer:
        asked.append(True)
        time.sleep(2 if len(asked) == 1 else 0)
        return 0, DONE, ""

    server.answer = answer
    found = cloud_init_status.wait(target, commands.session())

    assert (found and found.status, len(asked)) == ("done", 2)
