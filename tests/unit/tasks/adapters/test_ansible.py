from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import ansible, process, remote_scope, ssh
from tasks.adapters.ansible import Play, PlayResult
from tests.unit.tasks.commands import session

DONE = (
    '{"event": "ok", "name": "a"}\n{"event": "ok", "name": "b", "changed": true}\n'
    '{"event": "ok", "name": "c", "changed": true}\n{"event": "skipped", "name": "d"}\n'
)


@dataclass
class Ansible:
    """Stands in for `process.run`: writes `events`, leaves an SSH master's socket, and ends as told."""

    events: str = DONE
    exit_status: int = 0
    raised: Exception | None = None
    closing: Exception | None = None
    stdout: str = ""
    asked: list[process.Command] = field(default_factory=list)

    def run(self, command: process.Command, _session: process.Session) -> process.Completed:
        self.asked.append(command)
        if command.argv[0] == "ssh":
            if self.closing is not None:
                raise self.closing
            return process.Completed(command, 0, "", "", "", 0.1)
        with socket.socket(socket.AF_UNIX) as master:
            master.bind(str(command.cwd / "control"))
        Path(command.env["STEPMARK_EVENTS"]).write_text(self.events)
        if self.raised is not None:
            raise self.raised
        return process.Completed(command, self.exit_status, self.stdout, "", "", 0.1)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Ansible:
    made = Ansible()
    monkeypatch.setattr(process, "run", made.run)
    return made


@pytest.fixture
def request_(tmp_path: Path) -> Play:
    """A play whose folder has a space in its name."""
    folder = tmp_path / "work space"
    folder.mkdir()
    target = ssh.Target("127.0.0.1", 9, "root", tmp_path / "a key", tmp_path / "known hosts")
    ssh.pin(target.known_hosts, "ssh-ed25519 AAAA")
    return Play("configure-firewall.yml", folder, target)


def test_the_result_counts_the_tasks(scripted: Ansible, request_: Play) -> None:
    del scripted
    assert ansible.play(request_, session()) == PlayResult(changed=2, ok=1, skipped=1)


def test_the_command(scripted: Ansible, request_: Play) -> None:
    """The ansible-playbook beside this Python; nothing of the user's configuration; the pinned host key alone."""
    ansible.play(request_, session())

    command = scripted.asked[0]
    private = command.cwd
    assert command.argv == (
        str(Path(sys.executable).with_name("ansible-playbook")),
        "--inventory",
        str(request_.folder / "inventory.json"),
        "--extra-vars",
        f"@{request_.folder / 'vars.json'}",
        str(ansible.PLAYBOOKS / "configure-firewall.yml"),
    )
    arguments = shlex.split(command.env["ANSIBLE_SSH_ARGS"])
    options = dict(option.split("=", 1) for option in arguments[3::2])
    assert arguments[:2] == ["-F", "/dev/null"]
    assert {name: options[name] for name in ("StrictHostKeyChecking", "UserKnownHostsFile", "ControlPath")} == {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{request_.target.known_hosts}"',
        "ControlPath": str(private / "control"),
    }
    assert {name: value for name, value in command.env.items() if name != "ANSIBLE_SSH_ARGS"} == {
        "ANSIBLE_CONFIG": str(ansible.PLAYBOOKS / "ansible.cfg"),
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_LOCAL_TEMP": str(private / "local"),
        "ANSIBLE_PRIVATE_KEY_FILE": str(request_.target.identity),
        "STEPMARK_EVENTS": str(private / "events"),
    }


def test_without_one_beside_python_the_path_is_searched(
    scripted: Ansible, request_: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))

    ansible.play(request_, session())

    assert scripted.asked[0].argv[0] == "ansible-playbook"


def test_a_long_folder_for_temporary_files_does_not_lengthen_the_socket(
    scripted: Ansible, request_: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A socket's path has 108 bytes, of which SSH takes 17 for itself."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))

    ansible.play(request_, session())

    assert len(os.fsencode(scripted.asked[0].cwd / "control")) < 108 - 17 - 20


def test_in_a_scope_ansible_gets_a_client_of_ours(scripted: Ansible, request_: Play) -> None:
    scope = remote_scope.Scope("web-1", "0a", 3)
    ansible.play(replace(request_, target=replace(request_.target, scope=scope)), session())

    given = scripted.asked[0].env
    assert given["ANSIBLE_SSH_EXECUTABLE"] == str(ansible.SSH)
    assert given["STEPMARK_REMOTE"] == remote_scope.prefix(scope)


@pytest.mark.parametrize(
    ("raised", "exit_status", "cleared"),
    [
        (errors.DeadlineError("late"), 0, True),
        (errors.CancelledError("by ann"), 0, True),
        (None, -9, True),
        (errors.LeaseLostError("cut"), 0, False),
        (None, 2, False),
    ],
)
def test_what_a_play_leaves_on_the_host_is_ended(
    scripted: Ansible, request_: Play, raised: Exception | None, exit_status: int, cleared: bool
) -> None:
    scope = remote_scope.Scope("web-1", "0a", 3)
    scripted.raised, scripted.exit_status = raised, exit_status

    with pytest.raises(errors.StepmarkError):
        ansible.play(replace(request_, target=replace(request_.target, scope=scope)), session())

    end = remote_scope.within(scope.after(), "true")
    assert [command.argv[-1] for command in scripted.asked[2:]] == [end] * cleared


def test_a_refusal_by_the_host_means_that_the_run_is_lost(scripted: Ansible, request_: Play) -> None:
    scripted.exit_status = 2
    scripted.stdout = "module_stderr: 'stepmark: refused: a later scope works here, 0a.00000004 in /run/stepmark/web-1'"

    with pytest.raises(errors.LeaseLostError, match="a later epoch works on the host"):
        ansible.play(request_, session())


@pytest.mark.parametrize("raised", [None, errors.DeadlineError("late"), errors.LeaseLostError("cut")])
def test_the_connection_is_closed_and_nothing_is_left(
    scripted: Ansible, request_: Play, raised: Exception | None
) -> None:
    scripted.raised = raised
    if raised is None:
        ansible.play(request_, session())
    else:
        with pytest.raises(type(raised)):
            ansible.play(request_, session())

    private = scripted.asked[0].cwd
    assert scripted.asked[1].argv == (
        *("ssh", "-q", "-F", "/dev/null", "-o", f"ControlPath={private / 'control'}", "-O", "exit", "host"),
    )
    assert not private.exists()


def test_a_connection_that_cannot_be_closed_hides_nothing(scripted: Ansible, request_: Play) -> None:
    scripted.raised = errors.DeadlineError("late")
    scripted.closing = errors.DeadlineError("no time was left to run ssh")

    with pytest.raises(errors.DeadlineError, match="late"):
        ansible.play(request_, session())


def test_a_failed_play_raises(scripted: Ansible, request_: Play) -> None:
    scripted.events = '{"event": "failed", "name": "Install ufw", "msg": "No package matching \'ufw\' is available"}\n'
    scripted.exit_status = 2

    with pytest.raises(errors.RemoteCommandError) as caught:
        ansible.play(request_, session())

    assert str(caught.value) == "task 'Install ufw' failed: No package matching 'ufw' is available"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client: install openssh-client")
def test_a_real_play_that_reaches_nobody(request_: Play) -> None:
    """Ansible itself, our configuration, our plugin: nothing listens on port 9 of loopback."""
    request_.folder.joinpath("inventory.json").write_text(
        '{"all": {"hosts": {"host": {"ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_user": "root"}}}}'
    )
    request_.folder.joinpath("vars.json").write_text("{}")
    log: list[str] = []

    with pytest.raises(errors.NetworkError) as caught:
        ansible.play(request_, session(log))

    refused = "ssh: connect to host 127.0.0.1 port 9: Connection refused"
    assert str(caught.value) == f"the host cannot be reached: refused: {refused}"
    assert any("Look what is there" in line or "Read the SSH port" in line for line in log)
