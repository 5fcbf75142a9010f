"""A host made of namespaces: started by `unshare`, run by `init.sh` as its process 1, entered by `nsenter`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import store
from tasks.sandbox.model import HostKind, Place

_INIT = Path(__file__).with_name("init.sh")
SPACES = ("--mount", "--pid", "--uts", "--ipc", "--net")
"""What a host has of its own."""
_START_SECONDS = 30

ROOTLESS_PATH = f"/opt/sandbox/bin:{daemon.PATH}"
"""Where commands are looked for in a rootless host: first what stands in for `sudo` there."""


def start(place: Place, *, base: str, boot: str = "") -> None:
    """Start the host's namespaces on `home/root`, unless they run; `base` and `boot` are as in init.sh.

    Raises:
        SandboxError: its first process does not get through its start; the text has its last words.
    """
    if running(place.home):
        return
    user = ("--user", "--map-root-user") if place.spec.kind is HostKind.ROOTLESS else ()
    argv = ("unshare", *user, *SPACES, "--fork", "--kill-child", "--propagation", "private", "sh", str(_INIT))
    env = {"PATH": daemon.PATH, "KIND": place.spec.kind, "NAME": place.spec.name, "HOST_HOME": str(place.home)}
    log = place.home / "init.log"
    log.unlink(missing_ok=True)
    outer = daemon.start_detached(argv, cwd=Path("/"), env={**env, "BASE": base, "BOOT": boot}, log=log)
    store.write(place.home / "processes.json", json.dumps({"outer": asdict(outer)}))
    first = _await_first(outer, log)
    store.write(place.home / "processes.json", json.dumps({"outer": asdict(outer), "first": asdict(first)}))


def running(home: Path) -> daemon.Started | None:
    """The host's process 1, as this machine numbers it, if it runs."""
    first = _recorded(home).get("first")
    return first if first and daemon.alive(first) else None


def stop(home: Path) -> None:
    """Kill the host: its process 1 takes all the others, the mounts and the network along."""
    for process in _recorded(home).values():
        daemon.end(process)
    (home / "processes.json").unlink(missing_ok=True)


def enter(first: daemon.Started, kind: HostKind) -> tuple[str, ...]:
    """What to put before a command to run it inside the host."""
    user = ("-U", "--preserve-credentials") if kind is HostKind.ROOTLESS else ()
    return ("nsenter", "-t", str(first.pid), *user, "-m", "-p", "-u", "-i", "-n", "-r", "-w", "--")


def _recorded(home: Path) -> dict[str, daemon.Started]:
    """First process 1, then the `unshare` around it."""
    try:
        kept = json.loads((home / "processes.json").read_text())
    except FileNotFoundError:
        return {}
    return {name: daemon.Started(**kept[name]) for name in ("first", "outer") if name in kept}


def _await_first(outer: daemon.Started, log: Path) -> daemon.Started:
    """Wait for init.sh's last line, `ready 1234`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        words = log.read_text(errors="replace").split()
        if "ready" in words[:-1]:
            return daemon.started(int(words[words.index("ready") + 1]))
        if not daemon.alive(outer):
            break
        time.sleep(0.004)
    tail = log.read_text(errors="replace").strip()
    daemon.end(outer)
    raise errors.SandboxError(
        f"the host does not start: {(tail or 'it says nothing').splitlines()[-1]}", output_tail=tail
    )
