"""Never two at once on a host: a worker is killed with all that it runs, the next goes on; the host's log tells."""

from __future__ import annotations

import json
import multiprocessing
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import ansible, guard, process, remote_scope, ssh, templates
from tasks.adapters.remote_scope import Scope
from tasks.sandbox.model import HostKind
from tests.e2e.hosts import Host, running
from tests.e2e.test_playbooks import LIGHT
from tests.e2e.test_sandbox import rootless
from tests.support import poll

LOG = "/var/tmp/log"
# Says every 50 ms, as long as it lives, that it does; bears everything but a kill.
TICKING = f"""trap '' TERM HUP INT PIPE
count=0
while [ $count -lt {{count}} ]; do echo {{scope}} $(date +%s.%N) >>{LOG}; sleep 0.05; count=$((count + 1)); done"""
HOSTS = [
    pytest.param((HostKind.LIGHT, "root"), marks=(LIGHT, pytest.mark.thorough), id="light, root"),
    pytest.param((HostKind.LIGHT, "admin"), marks=LIGHT, id="light, sudo"),
    pytest.param((HostKind.ROOTLESS, "root"), marks=rootless, id="rootless"),
]
Work = Callable[[Host, str, int, process.Session], object]


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    kind, user = request.param
    with running(tmp_path_factory.mktemp("host"), kind, user) as made:
        yield made


@pytest.fixture(autouse=True)
def _a_fresh_host(host: Host) -> None:
    home = host.shell(f"eval echo ~{host.user}").strip()
    host.shell(f"rm -rf /run/stepmark {home}/.stepmark {LOG}; : >{LOG}; chmod 666 {LOG}")


def by_ssh(host: Host, scope: str, count: int, session: process.Session) -> object:
    script = TICKING.format(scope=scope, count=count)
    return ssh.run_remote(host.target(scope=scope), f"sudo sh -c {shlex.quote(script)}", session)


def by_ansible(host: Host, scope: str, count: int, session: process.Session) -> object:
    """Three tasks: facts, a slow one, and a file, which goes another way than commands do."""
    folder = host.folder / scope
    folder.mkdir(exist_ok=True)
    inventory = {"ansible_host": host.facts.address, "ansible_port": host.facts.ssh_port, "ansible_user": host.user}
    tasks: list[dict[str, object]] = [
        {"name": "Tick", "ansible.builtin.shell": TICKING.format(scope=scope, count=count)},
        {"name": "Copy", "ansible.builtin.copy": {"content": scope, "dest": "/var/tmp/copied"}},
    ]
    play = {"name": "Slow", "hosts": "all", "become": True, "gather_subset": ["min"], "tasks": tasks}
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {ssh.ALIAS: inventory}}}))
    (folder / "vars.json").write_text("{}")
    (folder / "slow.yml").write_text(templates.to_yaml([play]))
    return ansible.play(ansible.Play(str(folder / "slow.yml"), folder, host.target(scope=scope)), session)


WORKS = pytest.mark.parametrize("work", [by_ssh, by_ansible])


def ticks(host: Host) -> dict[str, list[float]]:
    """When each scope said that it lives."""
    found: dict[str, list[float]] = {}
    for line in host.shell(f"cat {LOG}").splitlines():
        scope, at = line.split()
        found.setdefault(scope, []).append(float(at))
    return found


def _work(work: Work, host: Host, scope: str) -> None:
    work(host, scope, 2000, host.session())


@contextmanager
def working(work: Work, host: Host, scope: str) -> Iterator[Callable[[], None]]:
    """A worker that ticks on the host; gives what kills it, with all that it runs here, at one blow."""
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(work, host, scope))
    worker.start()

    def kill() -> None:
        members = {int(worker.pid or 0), *guard.Tree(int(worker.pid or 0)).members()}
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in members:
                os.kill(pid, number)
        worker.join(20)

    try:
        poll(lambda: len(ticks(host).get(scope, ())) > 3, every=0.2)
        yield kill
    finally:
        if worker.is_alive():
            kill()


@WORKS
def test_a_successor_first_ends_what_a_killed_worker_left(host: Host, work: Work) -> None:
    first, then = "0a.9", "0a.10"
    with working(work, host, first) as kill:
        kill()
        work(host, then, 5, host.session())

    time.sleep(0.5)  # in which it would tick ten times
    seen = ticks(host)
    assert set(seen) == {first, then}
    assert max(seen[first]) < min(seen[then])
    assert len(seen[then]) == 5


@WORKS
def test_a_killed_worker_alone_leaves_it_running(host: Host, work: Work) -> None:
    """What the other tests stand on: without a successor it goes on."""
    with working(work, host, "0a.1") as kill:
        kill()
        before = len(ticks(host)["0a.1"])
        poll(lambda: len(ticks(host)["0a.1"]) > before + 10, seconds=20, every=0.2)
        ssh.clear(host.target(scope="0a.1"), host.session())

    before = len(ticks(host)["0a.1"])
    time.sleep(0.5)
    assert len(ticks(host)["0a.1"]) == before


@WORKS
def test_who_comes_late_is_refused(host: Host, work: Work) -> None:
    work(host, "0b.1", 1, host.session())

    with pytest.raises(errors.LaterScopeError, match="a later run works on the host"):
        work(host, "0a.9", 1, host.session())

    assert set(ticks(host)) == {"0b.1"}


@WORKS
def test_a_deadline_leaves_nothing_on_the_host(host: Host, work: Work) -> None:
    began, seconds = time.monotonic(), 15  # on a busy machine Ansible needs most of it to begin

    with pytest.raises(errors.DeadlineError):
        work(host, "0a.1", 2000, host.session(seconds=seconds))

    assert time.monotonic() - began < seconds + 2 * 5 + ssh.CLEAR_SECONDS + 3
    before = len(ticks(host)["0a.1"])
    time.sleep(0.5)
    assert before == len(ticks(host)["0a.1"])
    work(host, "0a.2", 1, host.session())


def test_a_daemon_that_an_earlier_run_started_lives_on(host: Host) -> None:
    started = "sudo sh -c 'setsid sleep 4711 </dev/null >/dev/null 2>&1 &'; sleep 4712"
    session = host.session(seconds=3)
    with pytest.raises(errors.DeadlineError):
        ssh.run_remote(host.target(scope="0a.1"), started, session)

    ssh.run_remote(host.target(scope="0a.2"), "true", host.session())

    found = "for one in /proc/[0-9]*; do tr '\\0' ' ' <$one/cmdline; echo; done 2>/dev/null | grep '^sleep 471' || :"
    assert host.shell(found).split("\n")[:-1] == ["sleep 4711 "]
    host.shell("kill $(grep -lz 4711 /proc/[0-9]*/cmdline | grep -v $$ | cut -d/ -f3) 2>/dev/null || :")


def test_every_command_of_a_play_runs_in_the_scope(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in the way notes the last word of each call: a command, or the address when there is none."""
    (tmp_path / "ssh").write_text(
        f"#!/bin/sh\nfor last; do :; done\nprintf '%s\\0' \"$last\" >>{tmp_path}/asked\n"
        f'PATH={os.environ["PATH"]} exec ssh "$@"\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    by_ansible(host, "0a.1", 1, host.session())

    ours = remote_scope.prefix(Scope("web-1", "0a", 1))
    asked = (tmp_path / "asked").read_text().split("\0")
    commands = [words for words in asked if " " in words]
    assert len(commands) > 3
    assert [words for words in commands if not words.startswith(f"{ours} /bin/sh -c ")] == []
    assert host.shell("cat /var/tmp/copied") == "0a.1"
