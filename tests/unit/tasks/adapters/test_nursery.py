"""A real nursery, whose plays run on this machine, with everybody dying in every way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import ansible, guard, nursery, process
from tests.support import poll
from tests.unit.config.test_playbooks import PLAY
from tests.unit.tasks.adapters.test_guard import LONG_LEASE, ROOT
from tests.unit.tasks.commands import session

PROGRAM = str(Path(sys.executable).with_name("ansible-playbook"))
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
# It is to run out, but not while a busy machine starts a play.
MIDDLING_LEASE = 8.0
# A command that ignores INT and TERM, as do all that it starts; one of them leaves its session.
SLOW = "trap '' INT TERM; setsid sleep 301 & touch {folder}/ready; while :; do sleep 0.1; done"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[nursery.Nursery]:
    """The nursery that this process uses, ended with the test."""
    made = nursery.Nursery()
    monkeypatch.setattr(nursery, "of_process", lambda: made)
    yield made
    made.close()


@pytest.fixture
def playing(tmp_path: Path) -> Callable[..., process.Command]:
    """A command that plays a text, in the nursery unless told otherwise; its files are in `tmp_path/NAME`."""

    def command(name: str, play: str, *, loaded: bool = True, **env: str) -> process.Command:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "play.yml").write_text(play)
        (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {"host": HERE}}}))
        given = {**surroundings(folder), **env}
        argv = (PROGRAM, "--inventory", str(folder / "inventory.json"), str(folder / "play.yml"))
        return process.Command(argv, folder, env=given, loaded=loaded)

    return command


def surroundings(folder: Path) -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(ansible.PLAYBOOKS / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "STEPMARK_EVENTS": str(folder / "events"),
    }


def one_task(words: str) -> str:
    return f"- hosts: all\n  gather_facts: false\n  tasks:\n    - {words}\n"


def slow(folder: Path) -> str:
    return one_task(f'ansible.builtin.command: {{argv: [sh, -c, "{SLOW.format(folder=folder)}"]}}')


def bare(completed: process.Completed) -> str:
    """What it wrote, without its folder and the times that commands tell."""
    return re.sub(r"\d+[-:.][-:.\d ]+", "-", completed.stdout.replace(str(completed.command.cwd), ""))


def process_of(made: nursery.Nursery) -> subprocess.Popen[bytes]:
    assert made._loaded
    return made._loaded._process


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_play_is_as_one_that_loads_ansible_itself(
    own: nursery.Nursery, playing: Callable[..., process.Command]
) -> None:
    first, second, plain = (playing(name, PLAY, loaded=name != "plain") for name in ("first", "second", "plain"))
    done = [process.run(command, session()) for command in (first, second, plain)]

    assert process_of(own).poll() is None
    assert {(each.exit_status, bare(each), each.stderr) for each in done} == {(2, bare(done[2]), "")}
    assert len({(command.cwd / "events").read_text() for command in (first, second, plain)}) == 1


def test_nothing_of_a_play_is_left_for_the_next(own: nursery.Nursery, playing: Callable[..., process.Command]) -> None:
    words = "ansible.builtin.debug: {msg: \"<{{ lookup('env', 'OF_ONE') }}> {{ lookup('pipe', 'pwd') }}\"}"
    first, second = playing("first", one_task(words), OF_ONE="yes"), playing("second", one_task(words))
    said = [process.run(command, session()).stdout for command in (first, second)]

    assert f"<yes> {first.cwd}" in said[0]
    assert f"<> {second.cwd}" in said[1]
    assert process_of(own).poll() is None


def test_modules_are_put_together_once(own: nursery.Nursery, playing: Callable[..., process.Command]) -> None:
    """And are the play's own all the same."""
    found = []
    for name in ("first", "second"):
        command = playing(name, one_task("ansible.builtin.ping:") + "    - ansible.builtin.command: 'true'\n")
        assert process.run(command, session()).exit_status == 0
        modules = command.cwd.joinpath("local", "ansiballz_cache").iterdir()
        found.append({path.name: path.stat().st_ino for path in modules if path.suffix != ".lock"})

    assert len(found[0]) == 2
    assert found[0] == found[1]
    assert process_of(own).poll() is None


def test_no_descriptor_is_left_behind(own: nursery.Nursery, playing: Callable[..., process.Command]) -> None:
    def descriptors(pid: int | str) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    process.run(playing("first", one_task("ansible.builtin.meta: noop")), session())
    before = descriptors("self"), descriptors(process_of(own).pid)
    process.run(playing("second", one_task("ansible.builtin.meta: noop")), session())

    assert (descriptors("self"), descriptors(process_of(own).pid)) == before


def test_a_deadline_ends_all_of_a_play(
    own: nursery.Nursery, playing: Callable[..., process.Command], tmp_path: Path
) -> None:
    process.run(playing("first", one_task("ansible.builtin.meta: noop")), session())
    tree = guard.Tree(process_of(own).pid)
    lines: list[str] = []

    with pytest.raises(errors.DeadlineError):
        process.run(playing("slow", slow(tmp_path)), replace(session(lines, seconds=4), grace_seconds=0.3))

    assert (tmp_path / "ready").exists()
    assert poll(lambda: tree.members() == [tree.pid])


def test_a_play_goes_on_without_its_nursery_and_the_next_one_has_another(
    own: nursery.Nursery, playing: Callable[..., process.Command], tmp_path: Path
) -> None:
    def kill(line: str) -> None:
        if "TASK [Wait]" in line:
            process_of(own).kill()

    play = f"""
- hosts: all
  gather_facts: false
  tasks:
    - name: Wait
      ansible.builtin.command: sleep 1
    - ansible.builtin.copy: {{content: x, dest: {tmp_path}/written}}
"""
    done = process.run(playing("first", play), replace(session(), write=kill))
    old = process_of(own)
    again = process.run(playing("second", one_task("ansible.builtin.ping:")), session())

    assert (done.exit_status, again.exit_status, (tmp_path / "written").read_text()) == (0, 0, "x")
    assert old.poll() == -signal.SIGKILL
    assert process_of(own).poll() is None


def test_where_the_nursery_is_stuck_a_play_loads_ansible_itself(
    own: nursery.Nursery, playing: Callable[..., process.Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    process.run(playing("first", one_task("ansible.builtin.meta: noop")), session())
    stuck = process_of(own)
    stuck.send_signal(signal.SIGSTOP)
    own._loaded.requests.settimeout(0.5)  # type: ignore[union-attr]  # it is loaded
    monkeypatch.setattr(nursery, "LOAD_SECONDS", 0.01)

    assert process.run(playing("second", one_task("ansible.builtin.ping:")), session()).exit_status == 0
    assert own._loaded is None
    assert stuck.poll() == -signal.SIGKILL


def test_where_ansible_cannot_be_kept_loaded_each_play_loads_it(
    own: nursery.Nursery,
    playing: Callable[..., process.Command],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise ImportError('another Ansible')")
    monkeypatch.setattr(nursery, "_PROCESS", broken)

    for name in ("first", "second"):
        assert process.run(playing(name, one_task("ansible.builtin.ping:")), session()).exit_status == 0

    assert [record.getMessage() for record in caplog.records] == [
        "Ansible is not kept loaded, each play loads it: ImportError: another Ansible"
    ]


def test_a_guard_that_nobody_has_heard_of_begins_nothing(
    own: nursery.Nursery, playing: Callable[..., process.Command], tmp_path: Path
) -> None:
    """As when the worker is killed while it asks."""
    process.run(playing("first", one_task("ansible.builtin.meta: noop")), session())
    command = playing("second", one_task(f"ansible.builtin.copy: {{content: x, dest: {tmp_path}/written}}"))
    content = {"argv": command.argv, "cwd": "/", "env": dict(command.env), "times": [0.3, guard.clock() + 60, 1e9]}
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waiting, gate = os.pipe()
    with Path(os.devnull).open("r+b") as null, theirs, control:
        files = [null.fileno()] * 3 + [theirs.fileno(), waiting]
        requests = own._loaded.requests  # type: ignore[union-attr]  # it is loaded
        socket.send_fds(requests, [json.dumps(content).encode()], files)
        _, handles, _, _ = socket.recv_fds(requests, 64, 1)
        for each in (waiting, gate):
            os.close(each)

    nursery._Forked(handles[0], *os.pipe()).wait(20)
    assert not (command.cwd / "events").exists()


class Worker:
    """A stand-in process that plays `SLOW` in a nursery of its own; all that it has started is in `tree`."""

    def __init__(self, folder: Path, lease_seconds: float) -> None:
        self.folder = folder
        (folder / "play.yml").write_text(slow(folder))
        (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {"host": HERE}}}))
        argv = (PROGRAM, "--inventory", str(folder / "inventory.json"), str(folder / "play.yml"))
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.tasks.adapters.standin", uuid.uuid4().hex, str(lease_seconds), *argv],
            cwd=ROOT,
            env=os.environ | surroundings(folder),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tree = guard.Tree(self.child.pid)

    def started(self) -> Worker:
        poll((self.folder / "ready").exists, seconds=30)
        self.tree.members()
        return self

    def below(self, parent: int) -> list[int]:
        """The children of `parent`."""
        living = guard.processes()
        return [pid for pid in self.tree.members() if living[pid][0] == parent]

    def close(self) -> None:
        self.child.kill()
        self.tree.kill()
        self.child.communicate()


def command_line(pid: int) -> str:
    """As it was started; empty, if it has ended since."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(params=[LONG_LEASE])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path, request.param)
    try:
        yield made.started()
    finally:
        made.close()


def test_a_killed_worker_takes_its_play_along_and_the_nursery(worker: Worker) -> None:
    assert len(worker.tree.members()) > 6  # itself, the nursery, the guard, the play, its worker, the command and more

    worker.child.kill()

    assert poll(lambda: set(worker.tree.members()) <= {worker.child.pid}, seconds=20)


@pytest.mark.parametrize("worker", [MIDDLING_LEASE], indirect=True)
def test_a_stopped_worker_loses_its_play_when_the_lease_lapses(worker: Worker) -> None:
    nurseries = worker.below(worker.child.pid)
    worker.child.send_signal(signal.SIGSTOP)
    assert poll(lambda: set(worker.tree.members()) <= {worker.child.pid, *nurseries}, seconds=20)

    worker.child.send_signal(signal.SIGCONT)

    said = worker.child.communicate(timeout=30)[0].strip()
    assert said == "LeaseLostError the run is no longer held here: its lease was not renewed in time"


@pytest.mark.parametrize("stopped", [False, True])
def test_a_killed_guard_takes_its_play_along(worker: Worker, stopped: bool) -> None:
    """Even while the nursery, whose child it is, is stopped."""
    (nursery_pid,) = worker.below(worker.child.pid)
    (guard_pid,) = worker.below(nursery_pid)
    if stopped:
        os.kill(nursery_pid, signal.SIGSTOP)
    os.kill(guard_pid, signal.SIGKILL)

    assert worker.child.communicate(timeout=30)[0].strip() == f"ToolError the guard of {PROGRAM} was killed"
    os.kill(nursery_pid, signal.SIGCONT)
    # What left the play's group, as all that Ansible starts does, may be out of sight when the worker looks.
    assert poll(lambda: not any("ansible" in command_line(pid) for pid in worker.tree.members()), seconds=20)
