"""How much memory Redis needs for what is kept: `python benchmarks/memory.py --write docs/benchmarks/memory.md`.

A Redis of its own, the product's own scripts, and no workers: the runs are walked through step by step. What steps
leave is rendered for real (workspaces), or as long as what a real light host has left (logs, OpenTofu state).
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from config import settings as settings_module
from config.fleet import EnvironmentSpec
from tasks.adapters import ssh
from tasks.adapters.process import Lifeline, Redactor, Session
from tasks.context import Options, StepContext
from tasks.errors import Kind
from tasks.facts import CloudInit, PlanSummary
from tasks.failure import Cause, Failure
from tasks.identity import StepIdentity
from tasks.result import Drift, Result
from tasks.steps import ansible, tofu
from workers import callbacks, crypto, runtime
from workers.demo import redisserver
from workers.launch import Launcher, Request
from workers.runlog import RunLog
from workers.runtime import Runtime
from workers.tofustate import Owner
from workers.tracker import Execution

MARK = "<!-- What follows is written by benchmarks/memory.py. -->"
# Of a real light host, as it was provisioned and configured: lines and characters of each chunk of the log, by step.
LOGS: Mapping[str, Sequence[tuple[int, int]]] = {
    "opentofu-init": ((6, 295),),
    "opentofu-validate": ((7, 109),),
    "opentofu-plan": ((6, 216), (47, 1518)),
    "opentofu-apply": ((8, 387), (5, 304)),
    "wait-ssh-connectivity": ((1, 11),),
    "install-docker-compose": ((1, 80), (3, 92), (2, 96), (5, 292)),
    "configure-security-updates": ((1, 80), (2, 91), (2, 96), (2, 91), (3, 97), (6, 293)),
    "configure-firewall": (
        (1, 80),
        (2, 91),
        (2, 96),
        (9, 279),
        (8, 277),
        (3, 148),
        (3, 96),
        (3, 98),
        (2, 91),
        (3, 93),
        (5, 292),
    ),
    "look-for-drift": ((4, 300),),
}
STATE_CHARACTERS = 4_900
PLAN_BYTES = 3_300
LEARNED = {
    "opentofu-init": {"provider_lock": "built-in"},
    "opentofu-plan": {"plan": PlanSummary(add=2, change=0, destroy=0)},
    "opentofu-apply": {"state_serial": 3},
    "get-instance-info": {
        "address": "127.88.31.7",
        "ssh_port": 2222,
        "instance_status": "running",
        "instance_image": "light",
    },
    "wait-ssh-connectivity": {"ssh_attempts": {"ok": 1, "refused": 3}},
    "cloud-init-wait": {"cloud_init": CloudInit(status="done")},
}
RENDERS = {"render-opentofu-templates": tofu.render, "render-ansible-templates": ansible.render}
HOST = ("marked", "facts", "workspace", "state")
RUNS = ("provision", "configure", "drift-check", "failed provision")
LAST_WORDS = "\n".join(f"fatal: line {number:>2} of what the program said at last" for number in range(20))


@dataclass
class Ground:
    """What the walk needs, and what it finds: bytes of each kind of thing, one figure an environment."""

    runtime: Runtime
    launcher: Launcher
    found: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def note(self, what: str, *keys: str) -> None:
        """What Redis says that these keys need, all of each of them."""
        sizes = (self.runtime.client.memory_usage(key, samples=0) or 0 for key in keys)
        self.found[what].append(sum(sizes))

    def bytes(self, *whats: str) -> float:
        """The median of these together."""
        return sum(median(self.found[what]) for what in whats)


def walk(ground: Ground, spec: EnvironmentSpec, workflow: str, *, fails: str = "") -> str:
    """A run, as workers take it, and the bytes of what is kept of it. fails: at this step. Its id."""
    place = ground.launcher.launch(Request(spec, (workflow,), "operator@desk", f"{workflow} by operator@desk"))
    record, keys = ground.runtime.store.run(place.run), ground.runtime.keys
    if workflow == "provision":
        ground.note("record", keys.environment(spec.name))
        ground.found["message"].append(ground.runtime.client.memory_usage(keys.queue("tools"), samples=0) or 0)
    for index, step in enumerate(record.names, 1):
        identity = StepIdentity(**_place(place), step=step, index=index, total=record.total)
        execution = ground.runtime.tracker.start(identity, "tools-1@worker-1.example.org")
        _print(ground, execution)
        if step == fails:
            _fail(ground, place.run)
            break
        ground.runtime.tracker.end(execution, _done(ground, execution))
    ground.runtime.client.delete(keys.queue("tools"), keys.queue("wait"))
    what = f"failed {workflow}" if fails else workflow
    ground.note(what, keys.run(place.run), keys.run_events(place.run), keys.log(place.run))
    return place.run


def _place(place: object) -> dict[str, object]:
    names = ("run", "token", "epoch", "environment", "workflow", "delivery")
    return {name: getattr(place, name) for name in names}


def _print(ground: Ground, execution: Execution) -> None:
    identity, runtime_ = execution.identity, ground.runtime
    log = RunLog(runtime_.client, runtime_.keys.log(identity.run), identity.step, 1, runtime_.retention_seconds)
    for lines, characters in LOGS.get(identity.step, ()):
        for _ in range(lines):
            log.write(secrets.token_hex(characters // lines // 2))
        log.flush()


def _done(ground: Ground, execution: Execution) -> Result:
    """What the step leaves: its facts, and its files and state where it has any."""
    step, facts = execution.identity.step, execution.facts
    if step in RENDERS:
        return _in_workspace(ground, execution)
    if step == "opentofu-apply":
        _save(ground, execution.identity)
    if step == "look-for-drift":
        found = Drift(PlanSummary(add=1, change=0, destroy=0), "hcloud_server.host: create (it is gone)")
        return Result(facts, drift=found)
    return Result(facts.model_copy(update=LEARNED.get(step, {})), note="2 added, 0 changed, 0 destroyed")


def _in_workspace(ground: Ground, execution: Execution) -> Result:
    message, spaces = execution.identity, ground.runtime.workspaces
    path, before = spaces.fetch(message.environment, execution.workspace)
    session = Session(time.monotonic() + 60, print, Redactor(), Lifeline())
    context = StepContext(execution.environment, path, ground.runtime.settings, session, Options(), nullcontext)
    result = RENDERS[message.step](execution.facts, context)
    if message.index > 1:
        (path / "plan.tfplan").write_bytes(secrets.token_bytes(PLAN_BYTES))
    spaces.keep(execution, before)
    return result


def _save(ground: Ground, message: StepIdentity) -> None:
    states, owner = ground.runtime.states.state, Owner(message.environment, message.run, message.epoch)
    states.lock(owner, {"ID": "1", "Operation": "OperationTypeApply", "Who": "root@worker-1"})
    states.save(owner, "1", secrets.token_hex(STATE_CHARACTERS // 2).encode())
    states.unlock(message.environment, "1")


def _fail(ground: Ground, run: str) -> None:
    command = "tofu apply -input=false -lock-timeout=10s -json plan.tfplan"
    summary = "tofu apply: the provider said at length why it would not make the server that was asked for"
    found = Failure(Kind.INFRASTRUCTURE_OPERATION, Cause.RAISED, "InfrastructureError", summary, command, 1, LAST_WORDS)
    callbacks.end_badly(ground.runtime, ground.runtime.store.run(run), found, callbacks.links_of(found))


def life(ground: Ground, name: str) -> None:
    """One environment: provisioned, configured, looked at, and a provision that fails."""
    declared = {"name": "sandbox", "host": "light", "cloud_init": False}
    spec = EnvironmentSpec.model_validate({"name": name, "provider": declared, "ssh": {"key": "env:MEMORY_KEY"}})
    keys = ground.runtime.keys
    walk(ground, spec, "provision")
    ground.note("facts", keys.facts(name))
    ground.note("workspace", keys.workspace(name))
    ground.note("state", keys.tofu_state(name))
    walk(ground, spec, "configure")
    walk(ground, spec, "drift-check")
    ground.note("marked", keys.environment(name))
    walk(ground, spec, "provision", fails="opentofu-apply")
    ground.note("indexes", keys.runs(name), keys.checks(name), keys.traces(name))
    (trace,) = ground.runtime.store.traces(name)
    ground.note("trace", keys.trace(trace))


def measured(ground: Ground, count: int) -> Iterator[str]:
    """The lines of the page."""
    client, events = ground.runtime.client, ground.runtime.keys.events()
    life(ground, "warm-up")
    ground.found.clear()
    before = _used(ground)
    for number in range(count):
        life(ground, f"web-{number:04}")
    grown = (_used(ground) - before) / count
    news = client.memory_usage(events, samples=0) / client.xlen(events) * 10_000
    whole = ground.bytes(*HOST, "indexes", *RUNS, "trace")
    yield from _table(ground)
    yield from (
        "",
        f"The stream of news, which all share, needs {news / 1e6:.1f} MB at its bound of 10,000 entries.",
        f"Check: over {count} environments with one of each, `used_memory` grew by {grown / 1000:.1f} kB each; "
        f"the parts in the table come to {whole / 1000:.1f} kB.",
        "",
        *_fleets(ground, news),
    )


def _used(ground: Ground) -> int:
    """Bytes, without the stream of news."""
    client = ground.runtime.client
    return int(client.info("memory")["used_memory"] - client.memory_usage(ground.runtime.keys.events(), samples=0))


def _table(ground: Ground) -> Iterator[str]:
    rows = {
        "an environment that is declared, and was never launched": 0.0,
        "an environment that was launched: its record": ground.bytes("record"),
        "an environment that is provisioned: record, facts, workspace, OpenTofu state": ground.bytes(*HOST),
        "— of that, the workspace, encrypted": ground.bytes("workspace"),
        "— of that, the state, encrypted": ground.bytes("state"),
        "a run of provision that has ended: record, events, log": ground.bytes("provision"),
        "a run of configure": ground.bytes("configure"),
        "a look for drift": ground.bytes("drift-check"),
        "a run of provision that failed at `opentofu-apply`": ground.bytes("failed provision"),
        "a trace": ground.bytes("trace"),
        "a message that waits in a queue": ground.bytes("message"),
    }
    yield "| what | bytes |"
    yield "|---|---|"
    for what, size in rows.items():
        yield f"| {what} | {size:,.0f} |"


def _fleets(ground: Ground, news: float) -> Iterator[str]:
    """What fleets need: right after `up`, and with all that may ever be kept of each environment."""
    host = ground.bytes(*HOST, "indexes")
    young = host + ground.bytes("provision", "configure")
    full = host + 100 * ground.bytes("configure") + 3 * ground.bytes("drift-check") + 100 * ground.bytes("trace")
    yield "| environments | after `up` | each with 100 runs of configure, 3 looks for drift, 100 traces |"
    yield "|---|---|---|"
    for count in (100, 1_000, 10_000):
        yield f"| {count:,} | {(count * young + news) / 1e6:,.0f} MB | {(count * full + news) / 1e6:,.0f} MB |"


@contextmanager
def opened(folder: Path) -> Iterator[Ground]:
    """A Redis, and a process that has what a worker has."""
    private, _ = ssh.generate_host_key()
    with redisserver.running(folder) as url:
        os.environ |= {
            "STEPMARK_REDIS_URL": url,
            "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
            "STEPMARK_DATA_DIR": str(folder / "data"),
            "MEMORY_KEY": private,
        }
        settings_module.load.cache_clear()
        crypto.create(settings_module.load().encryption_key_file)
        from workers.celery import app  # it reads the settings

        yield Ground(runtime.current(), Launcher(runtime.current(), app))


def main() -> int:
    """Walk, and print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environments", type=int, default=100, help="over how many the median is taken")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures into this page, after its mark")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepmark-memory-") as folder, opened(Path(folder)) as ground:
        text = "\n".join(measured(ground, asked.environments))
    print(text)
    if asked.write:
        asked.write.write_text(f"{asked.write.read_text().partition(MARK)[0]}{MARK}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
