"""The real client against a real server."""

from __future__ import annotations

import stat
import time
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from config.errors import SecretError
from config.secrets import SecretRef
from tasks import errors
from tasks.adapters import remote_scope, ssh
from tasks.adapters.process import Redactor
from tasks.adapters.remote_scope import Scope
from tests.unit.tasks import commands
from tests.unit.tasks.adapters import sshserver
from tests.unit.tasks.adapters.sshserver import Server


def reference(text: str) -> SecretRef:
    return SecretRef.model_validate(text)


def test_a_command_runs(server: Server, target: ssh.Target) -> None:
    server.answer = lambda _: (2, "out\n", "err\n")

    completed = ssh.run_remote(target, "a 'b c' | d", commands.session(), statuses=(0, 2))

    assert (completed.exit_status, completed.stdout, server.asked) == (2, "out\n", ["a 'b c' | d"])


def test_a_command_fails(server: Server, target: ssh.Target) -> None:
    session = commands.session()
    session.redact.add("hunter22")
    server.answer = lambda _: (7, "", "no hunter22 here\n")
    ssh.pin(target.known_hosts, sshserver.public(server.host_key))

    with pytest.raises(errors.RemoteCommandError) as caught:
        ssh.run_remote(target, "find hunter22", session)

    assert caught.value.args == (
        "root@127.0.0.1: command-failed: no *** here",
        f"ssh -p {server.port} root@127.0.0.1 'find ***'",
        7,
        "no *** here",
    )


def test_the_first_key_seen_is_pinned(server: Server, target: ssh.Target) -> None:
    ssh.pin(target.known_hosts, None)

    ssh.run_remote(target, "true", commands.session())

    assert ssh.pinned(target.known_hosts) == sshserver.public(server.host_key)


def test_a_pinned_key_must_be_the_hosts(server: Server, target: ssh.Target) -> None:
    ssh.pin(target.known_hosts, sshserver.public(asyncssh.generate_private_key("ssh-ed25519")))

    with pytest.raises(errors.AuthenticationError, match="host-key-changed"):
        ssh.run_remote(target, "true", commands.session())

    assert server.logins == 0


def test_a_connection_that_breaks_is_the_networks_fault(server: Server, target: ssh.Target) -> None:
    def answer(_: str) -> sshserver.Answer:
        raise ConnectionError

    server.answer = answer

    with pytest.raises(errors.NetworkError, match="unreachable"):
        ssh.run_remote(target, "reboot", commands.session())


def test_a_generated_host_key_serves_and_is_the_one_pinned(tmp_path: Path, target: ssh.Target) -> None:
    private, public = ssh.generate_host_key()
    server = Server(host_key=asyncssh.import_private_key(private))
    server.client_key = asyncssh.read_private_key(target.identity)
    server.let_in = {sshserver.public(server.client_key)}
    with server.listening():
        there = replace(target, port=server.port, known_hosts=tmp_path / "given")
        ssh.pin(there.known_hosts, public)

        ssh.run_remote(there, "true", commands.session())

    assert (ssh.pinned(there.known_hosts), len(public.split())) == (public, 2)


def test_a_private_file_is_used_where_it_is(target: ssh.Target) -> None:
    redact = Redactor()

    with ssh.identity(reference(f"file:{target.identity}"), redact) as path:
        assert path == target.identity

    assert target.identity.exists()
    assert redact(target.identity.read_text().splitlines()[2]) == "***"


@pytest.mark.parametrize("scheme", ["env", "file"])
def test_any_other_key_is_copied_and_the_copy_removed(
    scheme: str, target: ssh.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", target.identity.read_text())
    target.identity.chmod(0o644)

    with ssh.identity(reference("env:THE_KEY" if scheme == "env" else f"file:{target.identity}"), Redactor()) as path:
        assert path.read_text() == target.identity.read_text()
        assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
        assert path.parent.name.startswith("stepmark-key-")  # one that outlives a kill is cleared away
        ssh.run_remote(replace(target, identity=path), "true", commands.session())

    assert not path.parent.exists()


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(SecretError), ssh.identity(reference("file:/no/such/key"), Redactor()):
        pass


def test_a_later_scope_on_the_host_means_that_the_run_is_lost(server: Server, target: ssh.Target) -> None:
    server.answer = lambda _: (94, "", "stepmark: refused: a later scope works here, 0a.00000002 in /run/stepmark/e\n")

    with pytest.raises(errors.LaterScopeError, match="a later run works on the host"):
        ssh.run_remote(replace(target, scope=Scope("e", "0a", 1)), "true", commands.session())


@pytest.mark.parametrize(
    ("error", "cleared"), [(errors.CancelledError("by ann"), True), (errors.LeaseLostError("elsewhere"), False)]
)
def test_what_is_ended_here_is_ended_on_the_host(
    error: errors.StepmarkError, cleared: bool, server: Server, target: ssh.Target
) -> None:
    """Unless another holds the run: then that one does it. What people are shown is the command, not our wrapping."""
    session = commands.session()
    scope = Scope("e", "0a", 1)

    def answer(command: str) -> sshserver.Answer:
        if command == remote_scope.within(scope, "sleep 300"):
            session.lifeline.cut(error)
            time.sleep(1)
        return 0, "", ""

    server.answer = answer
    with pytest.raises(type(error)) as caught:
        ssh.run_remote(replace(target, scope=scope), "sleep 300", session)

    assert server.asked[1:] == [remote_scope.within(scope.after(), "true")] * cleared
    assert "sm_scope" not in str(caught.value.args)


def test_nothing_is_asked_of_a_host_once_the_time_is_over(server: Server, target: ssh.Target) -> None:
    with pytest.raises(errors.DeadlineError, match="no time was left"):
        ssh.run_remote(replace(target, scope=Scope("e", "0a", 1)), "true", commands.session(seconds=0))

    assert server.asked == []


def test_a_host_that_cannot_be_reached_any_more_hides_nothing(target: ssh.Target) -> None:
    gone = replace(target, scope=Scope("e", "0a", 1), port=1)

    with pytest.raises(errors.DeadlineError, match="late"), ssh.leaving_nothing(gone, commands.session()):
        raise errors.DeadlineError("late")
