"""Matrix: makes a real host, tries the cells in groups, each in a process of its own, and judges what was seen."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import TypeAdapter

from tasks.sandbox import api, ladder
from tests.e2e.sandboxes import Login, Sandbox
from tests.faults import judge, program, site
from tests.faults.cells import Cell
from tests.faults.judge import Verdict
from tests.faults.site import ROOT
from tests.faults.trial import Seen

GROUP_SECONDS = 1500.0
# Of the shared faults: so many cells have one worker and one Redis.
MOST_CELLS = 110
_HOST = "matrix"


def tried(
    folder: Path, chosen: Sequence[Cell], *, at_once: int, say: Callable[[str], None], slack_seconds: float = 5.0
) -> Mapping[Cell, Verdict]:
    """The verdict on each cell that can be tried, groups tried `at_once`; their files stay in `folder`.

    slack_seconds: on a machine that does all this at once, whatever is due at some moment may be that late.
    """
    found: dict[Cell, Verdict] = {}

    def one(group: tuple[str, list[Cell]], described: str) -> None:
        name, members = group
        seen = _try(folder / name, described, members)
        verdicts = {
            cell: judge.judge(cell, one, site.settings(cell.fault), slack_seconds)
            for cell, one in zip(members, seen, strict=True)
        }
        found.update(verdicts)
        wrong = sum(not verdict.right for verdict in verdicts.values())
        say(f"{name}: {len(verdicts)} cells, {wrong} wrong")

    with host(folder, say) as described, ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda group: one(group, described), groups(chosen)))
    return found


def groups(chosen: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """The cells by what they share, the largest first."""
    found: dict[str, list[Cell]] = defaultdict(list)
    for cell in chosen:
        if not cell.why_not:
            found[cell.fault.group].append(cell)
    parts = [
        (f"{name}-{number}", members[number::count])
        for name, members in found.items()
        for count in [-(-len(members) // MOST_CELLS)]
        for number in range(count)
    ]
    return sorted(parts, key=lambda part: -len(part[1]))


def _try(folder: Path, described: str, members: list[Cell]) -> list[Seen]:
    folder.mkdir(parents=True)
    asked = json.dumps([[cell.workflow, cell.index, cell.fault.name] for cell in members])
    done = subprocess.run(
        (sys.executable, "-m", "tests.faults.group", str(folder / "site")),
        input=asked,
        env=os.environ | {"FAULTS_HOST": described},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=GROUP_SECONDS,
        check=False,
    )
    (folder / "errors").write_text(done.stderr)
    (folder / "seen.json").write_text(done.stdout)
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        return [Seen(environment=cell.environment, problem=f"the group failed: {last}") for cell in members]
    return TypeAdapter(list[Seen]).validate_json(done.stdout)


@contextlib.contextmanager
def host(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """A real sandbox host with the program on it; how to reach it, as JSON."""
    kind = ladder.look().kind
    if kind is None:
        raise RuntimeError("this machine can make no sandbox host: see `stepmark doctor`")
    keys = folder / "keys"
    keys.mkdir()
    sandbox = Sandbox(folder / "sandbox", Login.made(keys))
    instance = api.create(sandbox.spec(_HOST, kind, cloud_init=False, packages=False), say)
    try:
        sandbox.login.wait(instance)
        sandbox.login.say(instance, "mkdir -p /root/faults")
        _put(sandbox, instance.ip_address, instance.ssh_port)
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"host {(keys / 'host.pub').read_text()}")
        login = {"address": instance.ip_address, "port": instance.ssh_port, "key": str(keys / "key")}
        yield json.dumps({**login, "known_hosts": str(known_hosts)})
    finally:
        api.destroy(sandbox.directory, _HOST, say)


def _put(sandbox: Sandbox, address: str, port: int) -> None:
    known = sandbox.login.folder / f"known-{_HOST}"
    options = ("-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-p", str(port))
    argv = ("ssh", *options, "-i", str(sandbox.login.folder / "key"), f"root@{address}", "cat >/root/faults/program.py")
    subprocess.run(argv, input=Path(program.__file__).read_bytes(), check=True, timeout=60)
