"""Plays as a worker does, in a process of its own, for benchmarks/ansible.py: `python driver.py WAY GROUP`.

The packages are those on PYTHONPATH, maybe another version's. GROUP: the control group to enter. WAY: `plain`, so that
each play loads Ansible, or anything else. A line of JSON in is a play, `{"folder", "facts", "user", "playbook"}`;
the line out is `{"seconds", "changed", "ok"}`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

from tasks.adapters import ansible, process
from tasks.facts import Facts
from tasks.sandbox.model import HostKind
from tasks.steps import ansible as steps
from tests.e2e.hosts import Host

# Small packages: what is measured is what surrounds their installation.
PARAMETERS = {"docker": {"packages": ["tini"]}, "compose": {"package": "jq"}, "firewall": {"allow": ["80/tcp"]}}


def play(asked: dict[str, str]) -> dict[str, float]:
    """Play as the step does, and say how long it took and what was changed."""
    host = Host(Facts.model_validate_json(asked["facts"]), Path(asked["folder"]), asked["user"], HostKind.LIGHT)
    steps.render(host.facts, host.context(**PARAMETERS))
    session = dataclasses.replace(host.session(), write=lambda line: print(line, file=sys.stderr))
    began = time.monotonic()
    result = ansible.play(ansible.Play(asked["playbook"], host.folder / "ansible", host.target(scope="0a.1")), session)
    return {"seconds": time.monotonic() - began, "changed": result.changed, "ok": result.ok}


def main(way: str, group: Path) -> None:
    """Play what comes, until nothing comes."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    if way == "plain":
        run = process.run
        process.run = lambda command, session: run(dataclasses.replace(command, loaded=False), session)
    for line in sys.stdin:
        print(json.dumps(play(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
