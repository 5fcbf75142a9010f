"""Ansible: one playbook for one host. Manual: https://docs.ansible.com/ansible-core/2.19/cli/ansible-playbook.html."""

from __future__ import annotations

import contextlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import config
from tasks import errors
from tasks.adapters import ansible_events, process, remote_scope, scratch, ssh

PLAYBOOKS = Path(config.__file__).parent / "templates" / "ansible"
SSH = Path(__file__).with_name("remote") / "ssh"
PERSIST_SECONDS = 30
CLOSE_SECONDS = 5


@dataclass(frozen=True)
class Play:
    """One playbook for one host.

    playbook: its name in `PLAYBOOKS`. folder: has `inventory.json`, whose one host is `ssh.ALIAS`, and `vars.json`.
    target: the same host, its key pinned.
    """

    playbook: str
    folder: Path
    target: ssh.Target


@dataclass(frozen=True)
class PlayResult:
    """How many tasks changed something, how many found all as it should be, and how many did not apply."""

    changed: int
    ok: int
    skipped: int


def play(request: Play, session: process.Session) -> PlayResult:
    """Run the playbook to its end.

    Raises:
        NetworkError, AuthenticationError, DeadlineError: the host could not be reached, or a time ran out.
        RemoteCommandError: a task failed. ConfigurationError: a task refused the operator's parameters.
        TemplateError: a value in a task could not be rendered. PlaybookError: it could not be run at all.
        LeaseLostError: a later run or epoch works on the host.
    """
    with scratch.short_folder("play") as private:  # control sockets live here
        command = _command(request, private)
        with ssh.leaving_nothing(request.target, session):
            try:
                completed = process.run(command, session)
            finally:
                _close_connection(private, session)
        events = ansible_events.read(private / "events")
    if ansible_events.was_killed(completed):
        ssh.clear(request.target, session)
    else:
        said = completed.stdout + completed.stderr
        remote_scope.check(completed.exit_status, said, session, session.redact(shlex.join(command.argv)))
    problem = ansible_events.problem(events, completed, session.redact)
    if problem is not None:
        raise problem
    return _count(events)


def _command(request: Play, private: Path) -> process.Command:
    beside = Path(sys.executable).with_name("ansible-playbook")
    argv = (
        str(beside) if beside.exists() else "ansible-playbook",
        "--inventory",
        str(request.folder / "inventory.json"),
        "--extra-vars",
        f"@{request.folder / 'vars.json'}",
        str(PLAYBOOKS / request.playbook),
    )
    return process.Command(argv, cwd=private, env=_environment(request, private), loaded=beside.exists())


def _environment(request: Play, private: Path) -> dict[str, str]:
    target = request.target
    variables = {
        "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_LOCAL_TEMP": str(private / "local"),
        "ANSIBLE_PRIVATE_KEY_FILE": str(target.identity),
        "ANSIBLE_SSH_ARGS": _ssh_arguments(target, private),
        "STEPMARK_EVENTS": str(private / "events"),
    }
    if target.scope is None:
        return variables
    return {**variables, "ANSIBLE_SSH_EXECUTABLE": str(SSH), "STEPMARK_REMOTE": remote_scope.prefix(target.scope)}


def _ssh_arguments(target: ssh.Target, private: Path) -> str:
    options = {
        **ssh.OPTIONS,
        "ControlMaster": "auto",
        "ControlPath": str(private / "control"),
        "ControlPersist": f"{PERSIST_SECONDS}s",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{target.known_hosts}"',
    }
    return shlex.join(["-F", "/dev/null", *(part for item in options.items() for part in ("-o", "=".join(item)))])


def _close_connection(private: Path, session: process.Session) -> None:
    """End the SSH master that Ansible left behind: one that lives on would hide a changed key for a while.

    Where even that fails it ends by itself after `PERSIST_SECONDS`, and the play's own error is the one to tell.
    """
    socket = private / "control"
    if socket.exists():
        argv = ("ssh", "-q", "-F", "/dev/null", "-o", f"ControlPath={socket}", "-O", "exit", ssh.ALIAS)
        with contextlib.suppress(errors.StepmarkError):
            process.run(process.Command(argv, cwd=private, timeout_seconds=CLOSE_SECONDS), session)


def _count(events: tuple[ansible_events.Event, ...]) -> PlayResult:
    done = [event for event in events if event.event == "ok"]
    changed = sum(event.changed for event in done)
    return PlayResult(changed, len(done) - changed, sum(event.event == "skipped" for event in events))
