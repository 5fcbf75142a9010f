"""What a command imports, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workers.cli import lazy

HEAVY = ("celery", "kombu", "rich", "jinja2", "workers.runtime", "workers.store", "workers.records", "tasks.workflows")


@pytest.mark.parametrize("command", ["status", "--version"])
def test_a_look_imports_nothing_of_what_launches(command: str) -> None:
    """In a process of its own: this one has imported all of it."""
    program = f"""
import os, sys
from workers.cli import main
os.environ["STEPMARK_REDIS_URL"] = "redis://127.0.0.1:1/0"
main.main([{command!r}, *(["--help"] if {command!r} == "status" else [])])
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stderr.splitlines()[-1] == "[]"


def test_commands_are_made_when_they_are_asked_for() -> None:
    commands = lazy.Commands({"status": "status.status", "state": "state.app", "broken": "nowhere.nothing"})

    assert list(commands) == ["status", "state", "broken"]
    assert ("broken" in commands, "other" in commands, len(commands)) == (True, False, 3)
    assert commands["status"].name == "status"
    assert list(commands["state"].commands) == ["show", "pull", "reconcile", "force-unlock", "rekey"]
    assert commands["status"] is commands["status"]
    with pytest.raises(ModuleNotFoundError):
        commands["broken"]
