"""The playbooks and the event plugin, as Ansible itself takes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters import ansible, process
from tests.unit.tasks.commands import session

PLAYBOOKS = sorted(ansible.PLAYBOOKS.glob("*.yml"))
PLAY = """
- name: Exercise
  hosts: all
  gather_facts: false
  handlers:
    - name: React
      ansible.builtin.debug: {msg: handled}
  tasks:
    - name: Change
      ansible.builtin.command: "true"
      notify: React
    - name: Find as it should be
      ansible.builtin.command: "true"
      changed_when: false
    - name: Leave out
      ansible.builtin.command: "true"
      when: false
    - name: Fail and go on
      ansible.builtin.command: sh -c 'echo one >&2; echo two >&2; exit 3'
      ignore_errors: true
    - name: Keep a secret
      ansible.builtin.command: sh -c 'echo hunter22 >&2; exit 4'
      no_log: true
      ignore_errors: true
    - name: React now
      ansible.builtin.meta: flush_handlers
    - name: Fail at the second
      ansible.builtin.command: sh -c 'exit {{ item }}'
      loop: [0, 5]
"""
COMMAND = "ansible.builtin.command"


def run(tmp_path: Path, *arguments: str) -> process.Completed:
    """The real ansible-playbook with our configuration, on this machine."""
    env = {
        "ANSIBLE_CONFIG": str(ansible.PLAYBOOKS / "ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "STEPMARK_EVENTS": str(tmp_path / "events"),
    }
    inventory = tmp_path / "inventory.json"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"host": here}}}))
    argv = (str(Path(sys.executable).with_name("ansible-playbook")), "--inventory", str(inventory), *arguments)
    return process.run(process.Command(argv, tmp_path, env), session())


def ended(event: str, name: str, module: str = COMMAND, **more: Any) -> dict[str, Any]:
    return {"event": event, "host": "host", "name": name, "module": module, **more}


def failed(name: str, status: int | None, stderr: str = "", msg: str = "non-zero return code", **more: Any) -> Any:
    return ended("failed", name, rc=status, stderr=stderr, msg=msg, **more)


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_syntax(playbook: Path, tmp_path: Path) -> None:
    completed = run(tmp_path, "--syntax-check", str(playbook))

    assert (completed.exit_status, completed.stderr) == (0, "")


def test_there_are_four() -> None:
    assert {path.stem for path in PLAYBOOKS} == {
        "configure-firewall",
        "configure-security-updates",
        "install-docker",
        "install-docker-compose",
    }


def test_the_events_of_a_play(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY)

    completed = run(tmp_path, str(playbook))

    lines = (tmp_path / "events").read_text().splitlines()
    hidden = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"
    assert completed.exit_status == 2
    assert [event for line in lines if (event := json.loads(line))["event"] != "task"] == [
        {"event": "play", "name": "Exercise"},
        ended("ok", "Change", changed=True),
        ended("ok", "Find as it should be", changed=False),
        ended("skipped", "Leave out"),
        failed("Fail and go on", 3, "one\ntwo", ignored=True),
        failed("Keep a secret", None, msg=hidden, ignored=True),
        ended("ok", "React", "ansible.builtin.debug", changed=False),
        failed("Fail at the second", 5, ignored=False),
    ]
    assert "hunter22" not in completed.stdout + completed.stderr + "".join(lines)
    assert {"event": "task", "name": "React", "module": "ansible.builtin.debug"} in map(json.loads, lines)


def test_no_host(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text("- {name: Nobody, hosts: others}")

    run(tmp_path, str(playbook))

    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert events == [{"event": "play", "name": "Nobody"}, {"event": "no-hosts"}]
