"""A glance at many runs says what their records say."""

from __future__ import annotations

import pytest

from tasks.failure import RunStatus
from tasks.result import Result
from tests.integration.conftest import request, spec
from tests.integration.test_scripts import fail, message
from workers.launch import Launcher
from workers.runtime import Base
from workers.tracker import Place


@pytest.fixture
def places(base: Base, launcher: Launcher) -> dict[str, Place]:
    """A run that is due, one that runs, one that has come further, one that has failed, one that hands over."""
    found = {name: launcher.launch(request(spec(name), "provision")) for name in ("due", "runs", "further", "failed")}
    found["both"] = launcher.launch(request(spec("both"), "provision", "configure"))
    for name in ("runs", "further"):
        execution = base.tracker.start(message(found[name]), "w0@test")
    base.tracker.end(execution, Result(execution.facts))
    fail(base, found["failed"].run)
    return found


def test_it_says_what_the_record_says(base: Base, places: dict[str, Place]) -> None:
    runs = [place.run for place in places.values()]

    found = base.store.glances(runs)

    assert list(found) == runs
    for run, glance in found.items():
        record = base.store.run(run)
        assert {name: getattr(record, name) for name in glance._fields} == glance._asdict()
        assert glance.live == record.live
    assert [found[place.run].status for place in places.values()] == [
        *(RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.FAILED, RunStatus.QUEUED)
    ]
    assert found[places["both"].run].next


def test_what_is_not_there_or_not_ours_is_left_out(
    base: Base, places: dict[str, Place], caplog: pytest.LogCaptureFixture
) -> None:
    base.client.hset(base.keys.run(places["due"].run), "schema", "2")
    base.client.hset(base.keys.run(places["runs"].run), "status", "another")
    base.client.hset(base.keys.run(places["further"].run), "index", "99")

    found = base.store.glances([*(place.run for place in places.values()), "none"])

    assert list(found) == [places["failed"].run, places["both"].run]
    assert f"Run {places['runs'].run} cannot be read" in caplog.text
