"""The steps against a real server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import asyncssh
import pytest

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks import errors
from tasks.adapters import cloud_init_status, remote_scope
from tasks.context import Options, StepContext
from tasks.facts import CloudInit, Facts
from tasks.result import Ending, Result
from tasks.steps import ssh
from tests.unit.tasks import commands
from tests.unit.tasks.adapters import sshserver
from tests.unit.tasks.adapters.sshserver import Answer, Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().listening() as found:
        yield found


@pytest.fixture
def context(server: Server, tmp_path: Path) -> StepContext:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(server.client_key.export_private_key())
    declared = {
        "name": "web-1",
        "provider": {"name": "existing", "address": "127.0.0.1"},
        "ssh": {"key": f"file:{key}", "port": server.port},
    }
    environment = EnvironmentSpec.model_validate(declared)
    return StepContext(environment, tmp_path, Settings(), commands.session(), Options(), lambda: nullcontext({}))


def test_a_first_login_learns_the_host_key(server: Server, context: StepContext) -> None:
    facts = Facts(address="127.0.0.1", instance_name="web-1")

    learned = {
        "ssh_attempts": {"ok": 1},
        "host_key": sshserver.public(server.host_key),
        "host_key_source": "first-use",
    }
    assert ssh.wait(facts, context) == Result(facts.model_copy(update=learned), Ending.DONE, "1 attempt: 1 × ok")  # noqa: RUF001 - as people read it


@pytest.mark.parametrize(("facts", "name"), [(Facts(), "web-1"), (Facts(scope_name="web-old"), "web-old")])
def test_commands_are_noted_on_the_host_under_one_name(
    facts: Facts, name: str, server: Server, context: StepContext
) -> None:
    """Also when the environment gets another one: else what an earlier run has left there would not be ended."""
    context = dataclasses.replace(context, scope="0a.1")
    server.answer = lambda _: (0, "", "")

    ssh.wait(facts.model_copy(update={"address": "127.0.0.1"}), context)

    assert server.asked == [remote_scope.within(remote_scope.Scope(name, "0a", 1), "true")]


def test_a_given_key_stays_the_given_one(server: Server, context: StepContext) -> None:
    facts = Facts(address="127.0.0.1", host_key=sshserver.public(server.host_key), host_key_source="given")

    assert ssh.wait(facts, context).facts == facts.model_copy(update={"ssh_attempts": {"ok": 1}})


def test_the_port_that_was_learned_goes_before_the_declared(server: Server, context: StepContext) -> None:
    facts = Facts(address="127.0.0.1", ssh_port=1)
    brief = StepContext(**{**vars(context), "session": commands.session(seconds=0.3)})

    with pytest.raises(errors.DeadlineError, match="port 1 "):
        ssh.wait(facts, brief)


def test_without_an_address(context: StepContext) -> None:
    with pytest.raises(errors.ConfigurationError, match="address is not known"):
        ssh.cloud_init_wait(Facts(), context)


def test_another_host_under_the_address(context: StepContext) -> None:
    other = sshserver.public(asyncssh.generate_private_key("ssh-ed25519"))
    brief = StepContext(**{**vars(context), "session": commands.session(seconds=0.5)})

    with pytest.raises(errors.AuthenticationError, match="host-key-changed"):
        ssh.wait(Facts(address="127.0.0.1", host_key=other, host_key_source="given"), brief)


@pytest.mark.parametrize(
    ("answer", "learned", "ending", "note"),
    [
        ((0, '{"status": "done"}', ""), CloudInit(status="done"), Ending.DONE, "done"),
        (
            (2, '{"status": "done", "extended_status": "degraded done", "recoverable_errors": {"W": ["old"]}}', ""),
            CloudInit(status="degraded", errors=("old",)),
            Ending.DONE,
            "1 warning: old",
        ),
        (
            (0, '{"status": "disabled"}', ""),
            CloudInit(status="disabled"),
            Ending.SKIPPED,
            "cloud-init is disabled on the host",
        ),
        ((cloud_init_status.ABSENT, "", ""), None, Ending.SKIPPED, "the host has no cloud-init"),
    ],
)
def test_cloud_init(
    server: Server, context: StepContext, answer: Answer, learned: CloudInit | None, ending: Ending, note: str
) -> None:
    server.answer = lambda _: answer
    facts = Facts(address="127.0.0.1")

    expected = Result(facts.model_copy(update={"cloud_init": learned}), ending, note)
    assert ssh.cloud_init_wait(facts, context) == expected
