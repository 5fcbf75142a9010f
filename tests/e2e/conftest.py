"""A whole site for real: Redis, workers as processes, the command line, sandbox hosts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tasks.sandbox import api
from workers import crypto

MISSING = [tool for tool in ("ssh", "ssh-keygen", "mmdebstrap", "unshare", "nsenter") if shutil.which(tool) is None]
if shutil.which("tofu") is None and shutil.which("terraform") is None:
    MISSING.append("tofu or terraform")
WHY_NOT = "not root" if os.geteuid() else f"missing: {', '.join(MISSING)}" if MISSING else None


@dataclass
class Site:
    """Workers, a Redis and a folder for fleet files and hosts."""

    folder: Path
    url: str
    variables: dict[str, str]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, queue: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker for a queue."""
        name = f"{queue}-{len(self.workers)}@e2e"
        log = (self.folder / f"{name}.log").open("wb")
        argv = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queue, "-n", name, "-l", "INFO"]
        worker = subprocess.Popen(
            [*argv, *options],
            cwd=self.folder,
            env=self.variables | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)
        self.workers.clear()

    def fleet(self, *environments: dict[str, Any], host: str = "light", **parameters: Any) -> Path:
        """Write a fleet file of sandbox hosts."""
        names = "-".join(each["name"] for each in environments)
        path = self.folder / f"{names}.yaml"
        provider = {"name": "sandbox", "host": host, "directory": str(self.folder / "hosts")}
        provider["cloud_init"] = host == "full"  # it takes two seconds, and only some tests are about it
        defaults = {"ssh": {"key": "file:key"}, "provider": provider, "parameters": parameters}
        path.write_text(yaml.safe_dump({"defaults": defaults, "environments": list(environments)}))
        return path

    def stepmark(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        """Run a command with `--json`: its exit status and its document."""
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *map(str, arguments), "--json"],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def failure(self, name: str) -> dict[str, Any]:
        """The context of an environment's last failure."""
        context: dict[str, Any] = self.stepmark("trace", name)[1]["context"]
        return context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[Site]:
    """A site with one worker a queue; its hosts are removed at the end."""
    folder = tmp_path_factory.mktemp("site")
    redis.Redis.from_url(redis_server).flushdb()
    for name in ("key", "wrong-key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    crypto.create(folder / "encryption.key")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("STEPMARK_")} | {
        "STEPMARK_REDIS_URL": redis_server,
        "STEPMARK_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
        "STEPMARK_DATA_DIR": str(folder / "data"),
    }
    found = Site(folder, redis_server, variables)
    found.start("tools", "-P", "prefork", "-c", "2")
    found.start("wait", "-P", "threads", "-c", "20")
    yield found
    found.stop()
    for host in api.instances(folder / "hosts"):
        api.destroy(folder / "hosts", host.name, print)


def without_processes(folder: Path) -> bool:
    """Whether no process has the folder in its command line any more."""
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return str(folder) not in shown
