"""A look at a fleet of many environments; none of them has a worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import Kind
from tasks.failure import Cause, Failure
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import request, spec
from workers import callbacks, chain
from workers.cli import status
from workers.cli.watch import Watch
from workers.firingrecord import Firing, Outcome
from workers.launch import Launcher
from workers.runtime import Base

Fleet = Callable[..., Path]
COUNT = 60


@pytest.fixture
def many(base: Base, launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty environments in two groups of labels, three of which have failed."""
    monkeypatch.setattr(chain, "send", lambda *_: None)
    for number in range(COUNT):
        place = launcher.launch(request(spec(f"web-{number:02d}", tier=str(number % 2)), "register"))
        if number in (7, 8, 9):
            found = Failure(Kind.QUOTA, Cause.RAISED, "QuotaError", "too many servers")
            callbacks.end_badly(base, base.store.run(place.run), found, (), final=True)


def names(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.startswith("web-")]


def test_many_are_summed_up(many: None, stepmark: Stepmark) -> None:
    said = stepmark("status")

    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "60 environments: 57 registering, 3 register-failed"
    assert lines[1] == "their runs: 57 queued, 3 failed"
    assert ["register", "1/3", "wait-ssh-connectivity", "quota", "3"] in [line.split() for line in lines]
    assert "need a look: 3 of 3" in lines
    assert names(said.out) == ["web-09", "web-08", "web-07"]


def test_all_are_listed_a_line_each(many: None, stepmark: Stepmark) -> None:
    said = stepmark("status", "--all")

    assert names(said.out) == [f"web-{number:02d}" for number in range(COUNT)]
    failed = said.out.splitlines()[7].split()
    assert failed[:6] == ["web-07", "register-failed", "register", "1/3", "wait-ssh-connectivity", "failed"]
    assert failed[-1] == "quota"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--state", "failed"), ["web-07", "web-08", "web-09"]),
        (("--state", "register-failed", "--label", "tier=1"), ["web-07", "web-09"]),
        (("--kind", "quota", "--step", "wait-ssh-connectivity", "web-08", "web-10"), ["web-08"]),
        (("--kind", "timeout"), []),
        (("--group", "db"), []),
    ],
    ids=" ".join,
)
def test_a_choice(words: tuple[str, ...], found: list[str], many: None, stepmark: Stepmark) -> None:
    text, as_json = stepmark("status", *words), stepmark("status", *words, "--json")

    assert names(text.out) == found
    assert ("No environment is as you asked." in text.err) == (not found)
    assert [each["environment"] for each in as_json.json["environments"]] == found


def test_json_is_complete(many: None, stepmark: Stepmark) -> None:
    """More than a page of it, and each as `show` has it."""
    environments = stepmark("status", "--json").json["environments"]

    assert [each["environment"] for each in environments] == [f"web-{number:02d}" for number in range(COUNT)]
    shown = stepmark("show", "web-07", "--json").json
    assert {key: shown[key] for key in environments[7]} == environments[7]


def test_what_schedules_have_left_out_is_bounded(many: None, stepmark: Stepmark, base: Base) -> None:
    left_out = {f"web-{number:02d}": "busy" for number in range(COUNT)}
    firing = Firing(schedule="nightly", at=0.0, fired_at=0.0, outcome=Outcome.LEFT_OUT, left_out=left_out)
    base.client.sadd(base.keys.schedules(), "nightly")
    base.client.lpush(base.keys.schedule_firings("nightly"), firing.model_dump_json())

    lines = stepmark("status").err.splitlines()

    assert len(lines) == status._MOST_LEFT_OUT + 1
    assert lines[0] == "schedule nightly left out web-00 at 1970-01-01 00:00:00Z: busy"
    assert lines[-1] == "schedule nightly left out 55 more at 1970-01-01 00:00:00Z"


def test_what_a_schedule_has_left_out_stands_where_it_matters(many: None, stepmark: Stepmark, base: Base) -> None:
    """Under all of the fleet, or under what was left out; and not where somebody was told at once."""
    firing = Firing(schedule="nightly", at=0.0, fired_at=0.0, outcome=Outcome.LEFT_OUT, left_out={"web-01": "busy"})
    refused = firing.model_copy(update={"schedule": "often", "left_out": {}, "reason": "paused by me@here"})
    asked = refused.model_copy(update={"schedule": "seldom", "by": "me@here"})
    for each in (firing, refused, asked):
        base.client.sadd(base.keys.schedules(), each.schedule)
        base.client.lpush(base.keys.schedule_firings(each.schedule), each.model_dump_json())
    busy = "schedule nightly left out web-01 at 1970-01-01 00:00:00Z: busy"

    assert stepmark("status").err.splitlines() == [
        busy,
        "schedule often left out everything at 1970-01-01 00:00:00Z: paused by me@here",
    ]
    assert stepmark("status", "web-01").err.splitlines() == [busy]
    assert stepmark("status", "web-02").err == ""


def test_a_pause_is_said_above(many: None, stepmark: Stepmark) -> None:
    stepmark("pause", "--reason", "an outage")

    assert "an outage; `stepmark unpause` goes on." in stepmark("status").out.splitlines()[0]


def test_many_are_followed(many: None, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pages; what was missed of the news is made up for by turns."""
    monkeypatch.setattr("workers.cli.watch._PAGE", 25)
    monkeypatch.setattr("workers.cli.watch._READ_AGAIN_SECONDS", 0.0)
    records = base.store.environments()
    watched = Watch(base, {record.name: record.run for record in records if record.run}, "$")
    assert len(watched.waiting) == COUNT - 3
    for record in base.store.runs(record.run for record in records if record.run).values():
        callbacks.late(base, record)  # the watch does not hear of it: its place in the news is behind it

    for _ in range(4):
        watched._after = "$"
        watched.poll(0.0)

    assert watched.over
    assert {run.status for run in watched.runs.values()} == {"failed"}
