"""How often a worker asks Redis: once when a step starts, once when it ends, whatever it has made and printed."""

from __future__ import annotations

from collections import Counter

import pytest

from config.settings import Settings
from tests.integration import monitor
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers.launch import Launcher
from workers.registry import Registry
from workers.runtime import Base

# What is asked once for all that a process runs, and once for each connection.
BESIDE = {"renew", "HELLO", "PING"}


@pytest.fixture
def warm(base: Base, start_worker: StartWorker, launcher: Launcher) -> None:
    """A worker of one process, which has run steps before."""
    start_worker("-c", "1")
    poll(lambda: Registry(base.client, base.keys).workers())
    ended(base, launcher.launch(request(spec("warm"))).run)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("labels", [{"idle": "yes"}, {}], ids=["idle", "makes files, prints and learns"])
def test_a_step_asks_once_at_its_start_and_once_at_its_end(
    base: Base, launcher: Launcher, settings: Settings, labels: dict[str, str]
) -> None:
    with monitor.listening(settings.redis_url.get_secret_value()) as heard:
        run = ended(base, launcher.launch(request(spec(**labels))).run)

    asked = [command.name for command in heard.of("start", "end") if command.name not in BESIDE]
    assert asked == ["start", "end"] * run.total
    # Of the messages Celery sends the first; the others are sent by the end of the step before, within its script.
    assert [command.name for command in heard.commands].count("LPUSH") == 1


@pytest.mark.usefixtures("warm")
def test_no_keys_are_scanned(base: Base, launcher: Launcher, settings: Settings) -> None:
    base.client.config_resetstat()
    ended(base, launcher.launch(request(spec())).run)

    asked = Counter(
        {name.removeprefix("cmdstat_"): found["calls"] for name, found in base.client.info("commandstats").items()}
    )
    assert asked["evalsha"] > 0
    assert asked["keys"] == asked["scan"] == 0
