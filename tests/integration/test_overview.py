"""The overview: after every script, whatever was done before, it says what the records say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import Kind
from tasks.failure import Cause, Failure
from tasks.identity import StepIdentity
from tasks.result import Ending, Result
from tests import sights
from tests.integration import scripted
from tests.integration.conftest import request, spec
from workers import callbacks, chain, succession
from workers.launch import Launcher, Resumption
from workers.names import Names, Reasons
from workers.overview import Overviews
from workers.reaper import Reaper
from workers.records import RunRecord
from workers.refusals import NotFoundError, RefusedError
from workers.runtime import Base
from workers.tracker import Execution, StaleError, Why

NAME, OTHER_NAME = "web-1", "web-2"


@dataclass
class Fleet:
    """One environment, and all that can happen to it; what its state does not allow changes nothing."""

    base: Base
    launcher: Launcher
    name: str = NAME

    def launch(self, *workflows: str) -> None:
        self.launcher.launch(request(spec(self.name), *workflows))

    def provision(self) -> None:
        self.launch("impatient", "configure")

    def plan(self) -> None:
        self.launch("plan")

    def destroy(self) -> None:
        self.launch("destroy")

    def start(self) -> Execution:
        run = self.run()
        place = run.tracked()
        return self.base.tracker.start(
            StepIdentity(
                run=run.run,
                token=run.token,
                epoch=run.epoch,
                environment=self.name,
                workflow=run.workflow,
                step=place.step,
                index=place.index,
                total=run.total,
                delivery=run.delivery,
            ),
            "w0@test",
        )

    def end(self, ending: Ending = Ending.DONE) -> None:
        execution = self.start()
        self.base.tracker.end(execution, Result(execution.facts, ending, "a note, with commas\tand a tab"))

    def end_all(self) -> None:
        with suppress(StaleError):
            while self.run().live:
                self.end()

    def not_possible(self) -> None:
        self.end(Ending.NOT_POSSIBLE)

    def fail(self, kind: Kind = Kind.INFRASTRUCTURE_OPERATION) -> None:
        self.start()
        self._end_badly(Failure(kind, Cause.RAISED, "ToolError", 'the tool said: "error_kind":"none"'))

    def fail_and_wait(self) -> None:
        self.fail(Kind.NETWORK_CONNECTIVITY)

    def be_killed(self) -> None:
        self.start()
        self._end_badly(Failure(Kind.WORKER_LOST, Cause.KILLED, "Killed", "it was killed"))

    def be_cancelled(self) -> None:
        self.base.tracker.cancel(self.run(), "tester", "no reason")
        self._end_badly(Failure(Kind.CANCELLED, Cause.CANCELLED, "CancelledError", "cancelled by tester"))

    def retry(self) -> None:
        succession.go_on(self.base, scripted.app, self.run(), Why.RETRY)

    def be_lost(self) -> None:
        execution = self.start()
        self.base.client.zadd(self.base.keys.leases(), {execution.name: self.base.now() - 3600})

    def be_taken_over(self) -> None:
        succession.go_on(self.base, scripted.app, self.run(), Why.TAKEN_OVER)

    def resume(self) -> None:
        self.launcher.resume(self.run(), Resumption(), "tester@here")

    def adopt(self) -> None:
        new_name = OTHER_NAME if self.name == NAME else NAME
        Names(self.base).adopt(self.name, new_name, "it is called so")
        self.name = new_name

    def forget(self) -> None:
        Names(self.base).forget(self.name, Reasons("it is gone", host_is_gone=True))

    def lose_the_run(self) -> None:
        """Past its retention; the reaper comes by afterwards."""
        if not self.run().live:
            self.base.client.delete(self.base.keys.run(self.run().run))
            Reaper(self.base, scripted.app).look()

    def run(self) -> RunRecord:
        """Of the environment, the live one or the last one."""
        run = self.base.store.environment(self.name).current_run
        if run is None:
            raise NotFoundError("run")
        return self.base.store.run(run)

    def _end_badly(self, found: Failure) -> None:
        callbacks.end_badly(self.base, self.run(), found, ())


DEEDS = (
    *(Fleet.provision, Fleet.plan, Fleet.destroy, Fleet.start, Fleet.end, Fleet.end_all, Fleet.not_possible),
    *(Fleet.fail, Fleet.fail_and_wait, Fleet.be_killed, Fleet.be_cancelled, Fleet.retry, Fleet.be_lost),
    *(Fleet.be_taken_over, Fleet.resume, Fleet.adopt, Fleet.forget, Fleet.lose_the_run),
)


@pytest.fixture
def fleet(base: Base, launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Nothing is sent: what workers do is done here."""
    monkeypatch.setattr(chain, "send", lambda *_: None)
    return Fleet(base, launcher)


@given(deeds=st.lists(st.sampled_from(DEEDS), max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_agrees_with_the_records_after_every_deed(deeds: list[Callable[[Fleet], None]], fleet: Fleet) -> None:
    fleet.base.client.flushdb()
    fleet.name = NAME
    for deed in (Fleet.provision, *deeds):
        with suppress(RefusedError, NotFoundError, StaleError):
            deed(fleet)
        assert sights.disagreements(fleet.base) == []


def rows(base: Base) -> list[str]:
    return [row.environment for row in Overviews(base.client, base.keys).read().rows]


def test_what_an_older_version_has_written_is_seen(fleet: Fleet) -> None:
    """It wrote no rows; a look makes them."""
    fleet.provision()
    fleet.base.client.delete(fleet.base.keys.overview())

    found = Overviews(fleet.base.client, fleet.base.keys).read([NAME, "nobody"])

    assert [row.environment for row in found.rows] == [NAME]
    assert sights.disagreements(fleet.base) == []


def test_what_an_older_version_has_forgotten_is_not_seen_any_more(fleet: Fleet) -> None:
    fleet.provision()
    row = fleet.base.client.hget(fleet.base.keys.overview(), NAME)
    fleet.base.client.hset(fleet.base.keys.overview(), OTHER_NAME, row)

    assert rows(fleet.base) == [NAME]
    assert fleet.base.client.hkeys(fleet.base.keys.overview()) == [NAME]


def test_the_reaper_mends_what_an_older_version_has_changed(fleet: Fleet) -> None:
    """Its rows are there, and say what was so before."""
    fleet.provision()
    before = fleet.base.client.hget(fleet.base.keys.overview(), NAME)
    fleet.fail()
    fleet.base.client.hset(fleet.base.keys.overview(), NAME, before)
    assert sights.disagreements(fleet.base)

    Reaper(fleet.base, scripted.app).look()

    assert sights.disagreements(fleet.base) == []


def test_a_row_of_another_version_is_read_as_far_as_it_goes(fleet: Fleet) -> None:
    """A later one adds fields, an earlier one had fewer."""
    fleet.provision()
    overview, row = fleet.base.keys.overview(), fleet.base.client.hget(fleet.base.keys.overview(), NAME)
    assert row
    for other in (f"{row}\tmore\tand more", row.rpartition("\t")[0]):
        fleet.base.client.hset(overview, NAME, other)

        (seen,) = Overviews(fleet.base.client, fleet.base.keys).read().rows

        assert (seen.state, seen.step, seen.status) == ("provisioning", "shaky", "queued")


def test_what_was_declared(fleet: Fleet) -> None:
    fleet.provision()

    found = Overviews(fleet.base.client, fleet.base.keys).declared([NAME, "nobody"])

    assert {name: spec["provider"]["name"] for name, spec in found.items()} == {NAME: "existing"}
