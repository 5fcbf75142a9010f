"""Waiting for real servers that come late, refuse, or never come."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import asyncssh
import pytest

from tasks import errors
from tasks.adapters import ssh, ssh_wait
from tasks.adapters.ssh_outcomes import Attempt, Outcome
from tasks.adapters.ssh_wait import Pace
from tests.support import poll
from tests.unit.tasks import commands
from tests.unit.tasks.adapters import sshserver
from tests.unit.tasks.adapters.sshserver import Server

QUICK = Pace(first=0.02, longest=0.1, refused=0.05, patience=0.3, jitter=lambda: 0.5)


@contextmanager
def talker(*, says: bytes, hangs: bool = False) -> Iterator[int]:
    """Accepts one connection and says something, which is not SSH; the port."""
    release = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(says)
                if hangs:
                    release.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            release.set()
            thread.join(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_login_that_works(server: Server, target: ssh.Target) -> None:
    assert ssh_wait.attempt(target, commands.session()) == Attempt(Outcome.OK)
    assert server.asked == ["true"]


def test_nobody_listens(target: ssh.Target) -> None:
    assert ssh_wait.attempt(replace(target, port=free_port()), commands.session()) == Attempt(Outcome.REFUSED)


def test_no_such_name(target: ssh.Target) -> None:
    nowhere = replace(target, address="no-such-host.invalid")

    assert ssh_wait.attempt(nowhere, commands.session()).outcome is Outcome.DNS


def test_something_else_answers(target: ssh.Target) -> None:
    with talker(says=b"Not allowed at this time\r\n") as port:
        found = ssh_wait.attempt(replace(target, port=port), commands.session())

    assert found == Attempt(Outcome.NO_BANNER, "Not allowed at this time")


def test_a_proxy_accepts_for_a_host_that_is_not_there_yet(target: ssh.Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_wait, "BANNER_SECONDS", 0.2)
    with talker(says=b"", hangs=True) as port:
        assert ssh_wait.attempt(replace(target, port=port), commands.session()) == Attempt(Outcome.NO_BANNER)


def test_a_banner_may_have_lines_before_it(target: ssh.Target) -> None:
    with talker(says=b"welcome\r\nSSH-2.0-x\r\n") as port:
        assert ssh_wait.probe(replace(target, port=port), commands.session()) == Attempt(Outcome.OK)


def test_a_host_that_comes_late(target: ssh.Target) -> None:
    server = Server(client_key=asyncssh.read_private_key(target.identity), port=free_port())
    log: list[str] = []
    found: list[object] = []
    session = commands.session(log)
    late = replace(target, port=server.port)
    waiter = threading.Thread(target=lambda: found.append(ssh_wait.wait(late, session, QUICK)))
    waiter.start()
    poll(lambda: "login 1: refused" in log, seconds=10)
    with server.listening():
        waiter.join(30)

    (counts,) = found
    assert isinstance(counts, dict)
    assert (set(counts), counts["ok"]) == ({"refused", "ok"}, 1)
    assert ssh.pinned(target.known_hosts) == sshserver.public(server.host_key)


def test_a_key_that_cloud_init_puts_there_late(server: Server, target: ssh.Target) -> None:
    server.let_in.clear()
    pauses: list[int] = []

    class Pauses(Pace):
        def pause(self, count: int, outcome: Outcome) -> float:
            pauses.append(count)
            if count == 2:
                server.let_in.add(sshserver.public(server.client_key))
            return 0.01

    assert ssh_wait.wait(target, commands.session(), Pauses()) == {"authentication": 2, "ok": 1}
    assert pauses == [1, 2]


def test_a_key_that_is_refused_for_long(server: Server, target: ssh.Target) -> None:
    server.let_in.clear()

    with pytest.raises(
        errors.AuthenticationError, match=r"no SSH login at root@127.0.0.1 port \d+ within .*Permission"
    ):
        ssh_wait.wait(target, commands.session(), QUICK)

    assert server.logins >= 2
    assert ssh.pinned(target.known_hosts) is None


def test_a_host_key_that_is_not_the_pinned_one(server: Server, target: ssh.Target) -> None:
    other = sshserver.public(asyncssh.generate_private_key("ssh-ed25519"))
    ssh.pin(target.known_hosts, other)

    with pytest.raises(errors.AuthenticationError, match="host-key-changed"):
        ssh_wait.wait(target, commands.session(), QUICK)

    assert (ssh.pinned(target.known_hosts), server.logins) == (other, 0)


def test_a_login_without_commands(server: Server, target: ssh.Target) -> None:
    server.answer = lambda _: (1, "", "This account is currently not available.\n")

    with pytest.raises(errors.RemoteCommandError, match="currently not available"):
        ssh_wait.wait(target, commands.session(), QUICK)


def test_nothing_ever_listens(target: ssh.Target) -> None:
    port = free_port()

    with pytest.raises(errors.DeadlineError) as caught:
        ssh_wait.wait(replace(target, port=port), commands.session(seconds=0.3), QUICK)

    summary, command, status, tail = caught.value.args
    assert summary.startswith(f"no SSH login at root@127.0.0.1 port {port} within 0 s: ")
    assert summary.endswith(" × refused")  # noqa: RUF001 - as people read it
    assert (command, status, tail) == (f"ssh -p {port} root@127.0.0.1 true", None, "")


def test_the_time_that_is_left_is_used(target: ssh.Target) -> None:
    """A pause that would outlast it is shortened, for a last attempt."""
    nowhere, session = replace(target, port=free_port()), commands.session(seconds=1.5)

    with pytest.raises(errors.DeadlineError, match=r": 2 . refused$"):
        ssh_wait.wait(nowhere, session, Pace(first=20, longest=20))
    assert session.deadline - time.monotonic() <= 0.5


def test_a_name_that_is_never_resolved(target: ssh.Target) -> None:
    nowhere = replace(target, address="no-such-host.invalid")

    with pytest.raises(errors.NetworkError, match="dns"):
        ssh_wait.wait(nowhere, commands.session(seconds=0.3), QUICK)


def test_a_cut_ends_the_wait(target: ssh.Target) -> None:
    session = commands.session()
    threading.Timer(0.2, session.lifeline.cut, [errors.LeaseLostError("it is over")]).start()

    with pytest.raises(errors.LeaseLostError, match="it is over"):
        ssh_wait.wait(replace(target, port=free_port()), session, Pace(first=20, longest=20))


def test_pauses_double_up_to_a_bound_and_refusals_have_their_own() -> None:
    pace = Pace(jitter=lambda: 1.0)

    assert [pace.pause(count, Outcome.REFUSED) for count in range(1, 7)] == [0.4, 0.8, 1.6, 3.0, 3.0, 3.0]
    assert pace.pause(10**6, Outcome.AUTHENTICATION) == 5.0
    assert Pace(jitter=lambda: 0.0).pause(9, Outcome.REFUSED) == 2.25


def test_counts() -> None:
    assert ssh_wait.counts({"refused": 12, "ok": 1}) == "12 × refused, 1 × ok"  # noqa: RUF001 - as people read it
