"""Installation: workers, Flower and operators as processes of their own, which know it by their variables only."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Settings, complete
from tests.faults import server
from tests.support import poll
from workers import crypto, runtime
from workers.records import RunRecord
from workers.registry import Registry
from workers.runtime import Base

ROOT = Path(__file__).parents[2]
SCRIPTED = "tests.integration.scripted_worker"


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Installation:
    """One installation. variables: what its processes are told, beside the files that are made in `folder`."""

    def __init__(self, folder: Path, **variables: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        crypto.create(folder / "encryption.key")
        (folder / "steps.log").touch()
        self.folder = folder
        self.variables = {
            "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
            "STEPMARK_DATA_DIR": str(folder / "data"),
            "STEPMARK_LEASE_SECONDS": "3",
            "STEPMARK_GRACE_SECONDS": "0.5",
            "SCRIPTED_LOG": str(folder / "steps.log"),
            "KEY": "a key, as the workers see it",
            **variables,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def base(self) -> Base:
        """What an operator's process has, in this one."""
        mine = {name.removeprefix("STEPMARK_").lower(): value for name, value in self.variables.items()}
        return runtime.base(complete(Settings(**{name: mine[name] for name in mine if name in Settings.model_fields})))

    @property
    def steps(self) -> list[str]:
        """`ENVIRONMENT TASK` of each step that was run."""
        return (self.folder / "steps.log").read_text().splitlines()

    def log(self, name: str) -> str:
        """What a process has printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def worker(self, name: str = "w0", **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until it is in the registry."""
        words = ("worker", "-n", f"{name}@test", "-Q", "wait,tools", "-P", "prefork", "-c", "2", "-l", "INFO")
        process = self.start(name, "-m", "celery", "-A", SCRIPTED, *words, **variables)
        base = self.base
        poll(lambda: f"{name}@test" in {each.name for each in Registry(base.client, base.keys).workers()})
        return process

    def start(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a process of Python's; it prints into `NAME.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                (sys.executable, *words),
                cwd=ROOT,
                env=os.environ | self.variables | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def stepmark(self, *arguments: str | Path, **variables: str) -> Said:
        """Run `stepmark` to its end."""
        words = (sys.executable, "-m", "workers.cli", *map(str, arguments))
        done = subprocess.run(
            words, cwd=ROOT, env=os.environ | self.variables | variables, capture_output=True, text=True, timeout=120
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ended(self, count: int, *, seconds: float = 120) -> list[RunRecord]:
        """The last run of each environment, once there are `count` of them and all have ended."""
        base = self.base

        def runs() -> list[RunRecord]:
            last = [record.last_run for record in base.store.environments() if record.last_run]
            found = list(base.store.runs(last).values())
            return found if len(found) == count and not any(run.live for run in found) else []

        return poll(runs, seconds=seconds, every=0.2)

    def fleet(self, *schedules: dict[str, str], **labels: dict[str, str]) -> Path:
        """Write a fleet of existing hosts whose labels script their steps."""
        environments = [
            {"name": name.replace("_", "-"), "provider": {"name": "existing", "address": "127.1.2.3"}, "labels": given}
            for name, given in labels.items()
        ]
        path = self.folder / "fleet.yaml"
        content = {"defaults": {"ssh": {"key": "env:KEY"}}, "environments": environments, "schedules": schedules}
        path.write_text(json.dumps(content))
        return path

    def end(self) -> None:
        """End what was started."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def made(folder: Path, **variables: str) -> Iterator[Installation]:
    """An installation while the block lasts."""
    found = Installation(folder, **variables)
    try:
        yield found
    finally:
        found.end()


class Flower:
    """Flower of an installation, asked through its API."""

    def __init__(self, of: Installation) -> None:
        self._port = server.free_port()
        self._of = of
        words = ("-m", "celery", "-A", "workers", "flower", "--address=127.0.0.1", f"--port={self._port}")
        of.start("flower", *words, FLOWER_UNAUTHENTICATED_API="true")

    def wait_until_it_asks(self) -> None:
        """Until it tells the workers that are there to send it their events, as it does every five seconds."""
        base = self._of.base
        with base.client.pubsub(ignore_subscribe_messages=True) as heard:
            heard.psubscribe(f"{base.settings.broker_prefix}/0.celery.pidbox")
            poll(lambda: "enable_events" in _order(heard.get_message(timeout=1)), seconds=60)

    def ask(self, path: str) -> Any:
        """The answer as JSON; None as long as there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/{path}", timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None

    def tasks(self) -> dict[str, str]:
        """The name of each task that it has heard of, and its state."""
        return {task["name"]: task["state"] for task in (self.ask("tasks") or {}).values()}

    def workers(self) -> list[str]:
        """The workers that it knows."""
        return sorted(name for name, alive in (self.ask("workers?status=true") or {}).items() if alive)

    def queues(self) -> list[dict[str, Any]]:
        """The queues that it knows, and how many messages wait in each."""
        return list((self.ask("queues/length") or {"active_queues": []})["active_queues"])


def _order(message: dict[str, Any] | None) -> str:
    """What workers are told by a message on the broker's channel for it."""
    return base64.b64decode(json.loads(message["data"])["body"]).decode() if message else ""
