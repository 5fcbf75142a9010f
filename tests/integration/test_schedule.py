"""Schedules of the fleet file, as beat fires them."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery.schedules import crontab

from config import settings as settings_module
from config.settings import Settings
from tasks.errors import ConfigurationError
from tasks.failure import RunStatus
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.support import poll
from workers import schedule
from workers.launch import Launcher
from workers.registry import Registry
from workers.runtime import Base

FLEET = """\
defaults:
  ssh: {key: "env:KEY"}
  provider: {name: existing, address: 127.1.2.3}
environments:
  - {name: web-1}
  - {name: web-2}
  - {name: db-1, labels: {tier: db}}
schedules:
  - {name: nightly, workflow: register, select: all, cron: "30 3 * * *"}
  - {name: often, workflow: register, select: {labels: {tier: db}}, every: 90s}
"""


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fleet file, known to beat and to workers."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    monkeypatch.setenv("STEPMARK_FLEET_FILE", str(path))
    settings_module.load.cache_clear()
    return path


@pytest.mark.usefixtures("fleet")
def test_beat_is_told_of_them() -> None:
    found = schedule.entries(settings_module.load())

    assert {name: (entry["task"], entry["args"]) for name, entry in found.items()} == {
        "nightly": (schedule.FIRE, ("nightly",)),
        "often": (schedule.FIRE, ("often",)),
    }
    assert found["nightly"]["schedule"] == crontab(minute="30", hour="3")
    assert found["often"]["schedule"].run_every.total_seconds() == 90


def test_without_a_fleet_file_there_are_none(settings: Settings) -> None:
    assert schedule.entries(settings) == {}
    with pytest.raises(ConfigurationError, match="STEPMARK_FLEET_FILE"):
        schedule.fire("nightly")


@pytest.mark.usefixtures("fleet", "launcher")
def test_what_its_workers_lack_is_left_out_and_recorded(base: Base, start_worker: StartWorker) -> None:
    """Nobody is there to be told at that hour."""
    start_worker()
    poll(lambda: Registry(base.client, base.keys).workers())

    schedule.fire("often")

    (firing,) = schedule.firings(base)
    assert (firing.schedule, firing.launched) == ("often", {})
    assert firing.left_out == {"db-1": "worker w0@test: secret env:KEY: the variable is not set, or empty"}
    assert base.store.environments() == ()


@pytest.mark.usefixtures("fleet")
def test_a_fired_schedule_launches_what_it_selects(base: Base, launcher: Launcher, start_worker: StartWorker) -> None:
    """An environment that a run holds is left out; the others are launched, and say by what."""
    held = launcher.launch(request(spec("db-1"), "register"))

    schedule.fire("often")
    schedule.fire("nightly")
    schedule.fire("no-such-schedule")
    start_worker()

    records = {record.name: record for record in base.store.environments()}
    assert set(records) == {"web-1", "web-2", "db-1"}
    assert records["db-1"].last_run == held.run
    often, nightly = sorted(schedule.firings(base), key=lambda firing: firing.schedule, reverse=True)
    assert (often.launched, set(often.left_out)) == ({}, {"db-1"})
    assert (set(nightly.launched), set(nightly.left_out)) == ({"web-1", "web-2"}, {"db-1"})
    for name in ("web-1", "web-2"):
        run = ended(base, records[name].last_run or "")
        assert (run.status, run.trigger, run.workflow) == (RunStatus.SUCCEEDED, "schedule nightly", "register")
