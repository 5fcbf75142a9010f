"""A backup of Redis and of the encryption key, restored on another server as docs/how-to/backup-and-restore.md says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from config import settings as settings_module
from tasks.adapters import daemon
from tests.integration.conftest import ROOT, StartWorker, ended
from tests.support import poll
from workers import crypto, runtime
from workers.demo import redisserver
from workers.runtime import Base

HOW = pytest.mark.parametrize("how", ["snapshot", "append-only file"])


class Site:
    """One Redis after the other, each with the workers and commands that are told of it."""

    def __init__(self, folder: Path, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._start_worker = start_worker
        self._monkeypatch = monkeypatch

    @contextmanager
    def redis(self, name: str) -> Iterator[Base]:
        """A server on the files in a folder of that name. At the end it is killed, as with its machine."""
        (self.folder / name).mkdir(exist_ok=True)
        process, url = redisserver.start(self.folder / name, tied=True)
        self._monkeypatch.setenv("STEPMARK_REDIS_URL", url)
        self._monkeypatch.setenv("STEPMARK_DATA_DIR", str(self.folder / f"data-{name}"))
        settings_module.load.cache_clear()
        try:
            yield runtime.base(settings_module.load())
        finally:
            daemon.end(process, signal.SIGKILL)

    def worker(self) -> subprocess.Popen[bytes]:
        """A worker with a disk of its own."""
        return self._start_worker(KEY="a key")

    def stepmark(self, *words: object) -> tuple[int, Any]:
        """A command's exit status, and its document."""
        argv = [sys.executable, "-m", "workers.cli", *map(str, words), "--json"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, json.loads(done.stdout)

    def fleet(self, **labels: dict[str, str]) -> Path:
        """A fleet of existing hosts, as the scripted steps want it."""
        path = self.folder / "fleet.yaml"
        hosts = {"provider": {"name": "existing", "address": "127.1.2.3"}, "ssh": {"key": "env:KEY"}}
        environments = [{"name": name, "labels": given} | hosts for name, given in labels.items()]
        path.write_text(json.dumps({"environments": environments}))
        return path

    def copy(self, how: str, base: Base) -> None:
        """Copy what the living server `first` has on its disk, so that a server in `second` has it."""
        target = self.folder / "second"
        if how == "append-only file":
            base.client.config_set("auto-aof-rewrite-percentage", "0")
            poll(lambda: not base.client.info("persistence")["aof_rewrite_in_progress"])
            shutil.copytree(self.folder / "first", target)
            return
        base.client.bgsave()
        poll(lambda: not base.client.info("persistence")["rdb_bgsave_in_progress"])
        target.mkdir()
        shutil.copy(self.folder / "first" / "dump.rdb", target)
        _append_from_now_on(target)


def _append_from_now_on(folder: Path) -> None:
    """A server that starts with an append-only file looks at no snapshot: one without must write that file first."""
    socket = folder / "redis.sock"
    argv = (
        str(redisserver.executable()),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--dir",
        str(folder),
        "--save",
        "",
    )
    process = daemon.start_detached(argv, cwd=folder, env={"PATH": daemon.PATH}, log=folder / "restore.log")
    poll(socket.exists)
    with redis.Redis(unix_socket_path=str(socket)) as client:
        poll(lambda: _answers(client))
        client.config_set("appendonly", "yes")
        poll(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"
        client.shutdown(nosave=True)
    poll(lambda: not daemon.alive(process))
    socket.unlink(missing_ok=True)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False


@pytest.fixture
def site(tmp_path: Path, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose Redis may be lost."""
    return Site(tmp_path, start_worker, monkeypatch)


def end(worker: subprocess.Popen[bytes]) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(30)


@HOW
def test_what_was_begun_goes_on_from_the_copy(how: str, site: Site, steps_log: Path) -> None:
    """All of it is there: the failure, its trace, its output, the facts; and the workspace, which the key opens."""
    with site.redis("first") as base:
        worker = site.worker()
        assert site.stepmark("provision", site.fleet(**{"web-1": {"fail": "tofu.apply"}}))[0] == 1
        before = {word: site.stepmark(word, "web-1") for word in ("show", "trace", "logs")}
        end(worker)
        site.copy(how, base)

    with site.redis("second") as base:
        assert {word: site.stepmark(word, "web-1") for word in before} == before
        site.worker()

        status, document = site.stepmark("resume", "web-1")

        assert (status, document["environments"][0]["state"]) == (0, "provisioned")
        files = {path.name for path in (site.folder / "data-second" / "workspaces" / "web-1").iterdir()}
        assert {"tofu.render.calls", "tofu.init.calls"} < files, "what only the first worker had done came along"
        assert steps_log.read_text().splitlines().count("web-1 tofu.init") == 1
        assert site.stepmark("configure", site.fleet(**{"web-1": {}}))[0] == 0


def test_without_the_key_nothing_can_be_done_and_nothing_is_destroyed(
    site: Site, settings: settings_module.Settings
) -> None:
    key = settings.encryption_key_file
    with site.redis("first") as base:
        worker = site.worker()
        site.stepmark("provision", site.fleet(**{"web-1": {"fail": "tofu.apply"}}))
        end(worker)
        site.copy("snapshot", base)

    with site.redis("second") as base:
        kept = base.client.hgetall(base.keys.workspace("web-1"))
        right = key.rename(key.with_suffix(".right"))
        crypto.create(key)
        worker = site.worker()

        for words in (("resume", "web-1"), ("destroy", "web-1", "--yes")):
            status, document = site.stepmark(*words)
            failure = document["environments"][0]["failure"]
            assert (status, failure["error_kind"]) == (1, "configuration")
            assert failure["error_summary"] == "the workspace of web-1 was encrypted with another key"
            assert failure["hint"].startswith("give every worker the same encryption key file")
        assert base.client.hgetall(base.keys.workspace("web-1")) == kept
        assert site.stepmark("show", "web-1")[1]["state"] == "destroy-failed"

        end(worker)
        key.unlink()
        right.rename(key)
        site.worker()
        status, document = site.stepmark("resume", "web-1")
        assert (status, document["environments"][0]["state"]) == (0, "destroyed")


def test_a_run_that_ran_at_that_moment_goes_on_and_what_came_later_is_unknown(site: Site, steps_log: Path) -> None:
    """It was long over when the server was lost; its step is done again, as for any worker that was lost."""
    with site.redis("first") as base:
        worker = site.worker()
        fleet = site.fleet(**{"web-1": {"fail": "tofu.plan", "how": "wait"}, "web-2": {}})
        _, document = site.stepmark("provision", fleet, "--env", "web-1", "--detach")
        run = document["environments"][0]["run"]
        poll(lambda: "web-1 tofu.plan" in steps_log.read_text())
        site.copy("snapshot", base)
        steps_log.with_name("go").touch()
        assert ended(base, run).status == "succeeded"
        assert site.stepmark("provision", fleet, "--env", "web-2")[0] == 0
        end(worker)

    with site.redis("second") as base:
        assert site.stepmark("status")[1]["environments"][0]["run"]["step"] == "opentofu-plan"
        site.worker()

        record = ended(base, run)

        assert record.status == "succeeded"
        assert [event["event"] for event in base.store.events(run)].count("taken-over") == 1
        assert steps_log.read_text().splitlines().count("web-1 tofu.plan") == 2
        _, document = site.stepmark("orphans", site.folder / "fleet.yaml")
        assert document == {"orphans": [], "never_launched": ["web-2"]}
