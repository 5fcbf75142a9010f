"""`schedule`: the schedules of a fleet file in Redis, as operators put them there, look at them and fire them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tasks.equipment import Item, What
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker
from tests.support import poll
from workers import readiness
from workers.cli import options
from workers.cli.reports import Exit
from workers.firingrecord import Firing
from workers.readiness import Lack
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.schedule import Schedules
from workers.verbs import whoami

NIGHTLY = {"name": "nightly", "workflow": "register", "select": "all", "cron": "30 3 * * *", "timezone": "Asia/Tokyo"}
OFTEN = {"name": "often", "workflow": "register", "select": {"environments": ["web-2"]}, "every": "90m"}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a fleet of two hosts with these schedules."""

    def to_file(*schedules: dict[str, object], port: int = 22, **policy: object) -> Path:
        provider = {"name": "existing", "address": "127.1.2.3"}
        content = {
            "defaults": {"ssh": {"key": "env:KEY", "port": port}, "provider": provider},
            "environments": [{"name": "web-1"}, {"name": "web-2"}],
            "schedules": schedules,
            "rollout": policy,
        }
        path = tmp_path / "fleet.yaml"
        path.write_text(json.dumps(content))
        return path

    return to_file


def content(base: Base) -> list[object]:
    """All that is kept of schedules."""
    keys, client = base.keys, base.client
    kept = [
        (client.hgetall(keys.schedule(name)), client.hgetall(keys.beat_entry(name))) for name in ("nightly", "often")
    ]
    return [sorted(client.keys("*")), client.zrange(keys.beat_due(), 0, -1, withscores=True), kept]


def test_apply_says_what_it_changes(stepmark: Stepmark, write: Write) -> None:
    first = stepmark("schedule", "apply", write(NIGHTLY, OFTEN))
    again = stepmark("schedule", "apply", write(NIGHTLY, OFTEN))
    other = stepmark("schedule", "apply", write({**NIGHTLY, "overlap": "queue"}))
    policy = stepmark("schedule", "apply", write({**NIGHTLY, "overlap": "queue"}, max_parallel=5, canary={"size": 1}))
    pruned = stepmark("schedule", "apply", write({**NIGHTLY, "overlap": "queue"}, port=23), "--prune")
    none = stepmark("schedule", "apply", write(), "--prune", "--json")

    assert (first.status, first.out) == (
        Exit.OK,
        "added       nightly: register; 30 3 * * * Asia/Tokyo; + web-1; + web-2\n"
        "added       often: register; every 90m; + web-2\n",
    )
    assert "No beat is active" in first.err
    assert again.out == "unchanged   nightly\nunchanged   often\n"
    assert other.out == "changed     nightly: overlap: skip -> queue\nnot-in-file often\n"
    changes = "rollout: 100 at a time -> 5 at a time; rollout: no canary -> 1 first as a canary, then a pause"
    assert policy.out.splitlines()[0] == f"changed     nightly: {changes}"
    changes = "rollout: 5 at a time -> 100 at a time; rollout: 1 first as a canary, then a pause -> no canary"
    assert pruned.out.splitlines()[0] == f"changed     nightly: {changes}; ~ web-1; ~ web-2"
    assert pruned.out.splitlines()[1] == "removed     often"
    assert none.json == {
        "schedules": [{"schedule": "nightly", "change": "removed", "what": [], "changes": []}],
        "dry_run": False,
        "warnings": [],
    }


def test_apply_says_it_in_json_too(stepmark: Stepmark, write: Write) -> None:
    """In words and in values."""
    stepmark("schedule", "apply", write(NIGHTLY))

    said = stepmark("schedule", "apply", write({**NIGHTLY, "jitter": "5m"}, budget={"failures": "5%"}), "--json")

    (nightly,) = said.json["schedules"]
    assert nightly["what"] == ["jitter: none -> 5m", "rollout: no budget -> failures of 5% tolerated"]
    assert nightly["changes"] == [
        {"field": "jitter", "old": None, "new": "5m"},
        {
            "field": "rollout.budget",
            "old": {"failures": None, "limits": []},
            "new": {"failures": "5%", "limits": []},
        },
    ]


def test_show_says_the_whole_policy(stepmark: Stepmark, write: Write) -> None:
    policy = {"per_provider": {"existing": 3}, "canary": {"size": "5%", "then": "go-on"}, "deadline": "90m"}
    stepmark("schedule", "apply", write(NIGHTLY, max_parallel=7, **policy))

    assert stepmark("schedule", "show", "nightly").out.splitlines()[4] == (
        "  as a rollout, 7 at a time; at most 3 of existing; 5% first as a canary, then on if all is well; "
        "nothing new after 90m"
    )


def test_a_dry_run_changes_nothing(stepmark: Stepmark, write: Write, base: Base) -> None:
    stepmark("schedule", "apply", write(NIGHTLY))
    before = content(base)

    said = stepmark("schedule", "apply", write({**NIGHTLY, "cron": "31 3 * * *"}, OFTEN), "--prune", "--dry-run")

    assert said.out.splitlines()[0] == "changed     nightly: cron: 30 3 * * * -> 31 3 * * *"
    assert said.err == "Nothing was changed: --dry-run.\n"
    assert content(base) == before


def test_a_file_that_is_wrong_changes_nothing(stepmark: Stepmark, write: Write, base: Base) -> None:
    said = stepmark("schedule", "apply", write(NIGHTLY, {**OFTEN, "workflow": "registr"}), "--json")

    assert said.status == Exit.USAGE
    (problem,) = said.json["error"]["problems"]
    assert problem["message"] == "no workflow is called `registr`; did you mean `register`?"
    assert base.client.keys("*") == []


def test_what_there_is(stepmark: Stepmark, write: Write, base: Base) -> None:
    empty = stepmark("schedule", "list")
    stepmark("schedule", "apply", write(NIGHTLY, OFTEN))
    base.client.set(base.keys.beat_lock(), "vm1/4711 token", ex=60)
    stepmark("schedule", "run", "often")

    text, as_json = stepmark("schedule", "list"), stepmark("schedule", "list", "--json")
    shown, shown_json = stepmark("schedule", "show", "nightly"), stepmark("schedule", "show", "often", "--json")

    assert empty.err.startswith("There are no schedules")
    heading, nightly, often = text.out.splitlines()
    assert heading.split() == ["schedule", "launches", "on", "when", "next", "last", "what", "it", "did"]
    assert nightly.split()[:9] == ["nightly", "register", "2", "30", "3", "*", "*", "*", "Asia/Tokyo"]
    assert nightly.split()[10:] == ["18:30:00Z", "-"]
    assert often.rstrip().endswith(": 0 of 1 succeeded, 1 going on")
    assert text.err == ""
    assert as_json.json["beat"] == "vm1/4711"
    found = as_json.json["schedules"][1]
    assert found.items() >= {**OFTEN, "select": {"environments": ["web-2"], "groups": [], "labels": {}}}.items()
    assert (found["environments"], found["applied_by"], found["paused"]) == (["web-2"], whoami(), None)
    assert (found["last"]["environments"], found["last"]["left_out"], found["policy"]["max_parallel"]) == (1, {}, 100)
    lines = shown.out.splitlines()
    assert lines[:2] == ["nightly: register, 30 3 * * * Asia/Tokyo", "  overlap skip, missed skip"]
    assert lines[3:5] == ["  on web-1, web-2", "  as a rollout, 100 at a time"]
    assert lines[5].count("18:30:00Z") == 5
    assert shown_json.json["firings"] == [found["last"]]
    assert len(shown_json.json["upcoming"]) == 5


def test_prune_leaves_what_is_fired_by_itself(stepmark: Stepmark, write: Write, base: Base) -> None:
    Schedules(base.client, base.keys).stand(base.now())

    said = stepmark("schedule", "apply", write(OFTEN), "--prune")

    assert said.out == "added       often: register; every 90m; + web-2\n"
    assert Schedules(base.client, base.keys).names() == ("often", "retention")


def _as_by_beat(base: Base, schedule: str) -> None:
    """Have the last firing of the schedule be one that nobody has asked for."""
    key = base.keys.schedule_firings(schedule)
    firing = Firing.model_validate_json(base.client.lindex(key, 0) or "")
    base.client.lset(key, 0, firing.model_copy(update={"by": None}).model_dump_json())


def test_run_fires_it_now(stepmark: Stepmark, write: Write, base: Base, start_worker: StartWorker) -> None:
    stepmark("schedule", "apply", write(NIGHTLY))
    next_at = base.client.zscore(base.keys.beat_due(), base.keys.beat_entry("nightly"))

    said = stepmark("schedule", "run", "nightly")
    again, as_json = stepmark("schedule", "run", "nightly"), stepmark("schedule", "run", "nightly", "--json")
    start_worker(KEY="a key")

    word, rollout = said.out.split()
    assert (said.status, word) == (Exit.OK, "rollout")
    warning, goes_on = said.err.splitlines()
    assert warning == "warning: Schedule nightly: no worker takes steps of the queue wait now: they wait there"
    assert goes_on.startswith(f"It goes on: `stepmark rollout show {rollout}` says how")
    store = RolloutStore(base.client, base.keys)
    poll(lambda: store.rollout(rollout).over, seconds=60)
    record = store.rollout(rollout)
    assert (record.succeeded, record.trigger, record.user) == (2, "schedule nightly", whoami())
    reason = f"rollout {rollout}, which an earlier firing began, goes on"
    assert (again.status, again.err) == (Exit.REFUSED, f"nothing was launched: {reason}\n")
    assert (as_json.status, as_json.json["outcome"], as_json.json["reason"]) == (Exit.REFUSED, "left-out", reason)
    assert base.client.zscore(base.keys.beat_due(), base.keys.beat_entry("nightly")) == next_at
    assert "left out" not in stepmark("status").err, "who asked was told"


def test_run_of_some(stepmark: Stepmark, write: Write, base: Base) -> None:
    path = write({**NIGHTLY, "overlap": "allow"}, {**OFTEN, "overlap": "queue"})
    stepmark("schedule", "apply", path)
    stepmark("register", path, "--env", "web-1", "--detach")

    partly, often = stepmark("schedule", "run", "nightly"), stepmark("schedule", "run", "often", "--json")

    word, rollout = partly.out.split()
    assert (partly.status, word) == (Exit.PARTLY, "rollout")
    warning, goes_on, refused = partly.err.splitlines()
    assert f"`stepmark rollout show {rollout}`" in goes_on
    assert "no worker takes steps of the queue wait now" in warning
    assert refused.startswith("web-1: refused: environment web-1 is held by run ")
    assert (often.status, often.json["outcome"], list(often.json["left_out"])) == (Exit.REFUSED, "launched", ["web-2"])
    other = often.json["rollout"]
    for name in ("nightly", "often"):
        _as_by_beat(base, name)
    assert stepmark("status").err.splitlines() == [
        f"schedule nightly: rollout {rollout} left out 1 of 2: stepmark rollout show {rollout}",
        f"schedule often: rollout {other} left out 1 of 1: stepmark rollout show {other}",
    ]
    listed = [line.rstrip().partition("rollout")[2] for line in stepmark("schedule", "list").out.splitlines()[1:]]
    assert [line.split(": ")[1] for line in listed] == [
        "0 of 2 succeeded, 1 left out, 1 going on",
        "0 of 1 succeeded, 1 left out",
    ]
    base.client.delete(base.keys.rollout(rollout))
    assert f"rollout {rollout} over 2" in stepmark("schedule", "show", "nightly").out


def test_status_tells_of_a_rollout_that_is_paused(stepmark: Stepmark, write: Write, base: Base) -> None:
    """Of a schedule, which nobody watches; not of what an operator has begun."""
    path = write(OFTEN)
    stepmark("schedule", "apply", path)
    rollout = stepmark("schedule", "run", "often").out.split()[1]
    stepmark("register", path, "--env", "web-1", "--canary", "1", "--detach", "--no-check")
    before = stepmark("status").err
    for which in (rollout, RolloutStore(base.client, base.keys).newest()):
        stepmark("rollout", "pause", which, "--reason", "look at web-2")

    said = stepmark("status")

    assert (before, said.status) == ("", Exit.OK)
    assert said.err == f"schedule often: rollout {rollout} is paused by {whoami()}: look at web-2\n"


def test_run_where_workers_lack_something(
    stepmark: Stepmark, write: Write, base: Base, worker: Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reason is told at once, under `status`, and by the rollout."""
    stepmark("schedule", "apply", write(NIGHTLY))
    lack = Lack("w0@test", Item("wait", What.SECRET, "env:KEY"), "it is not set")
    monkeypatch.setattr(readiness, "wanted", lambda *_: frozenset([lack.item]))
    monkeypatch.setattr(readiness, "ask", lambda *_: readiness.Readiness((lack,)))

    said = stepmark("schedule", "run", "nightly")

    rollout = said.out.split()[1]
    assert (said.status, said.err.splitlines()) == (
        Exit.REFUSED,
        [f"web-{number}: refused: worker w0@test: it is not set" for number in (1, 2)],
    )
    assert "left out" not in stepmark("status").err, "who asked was told"
    _as_by_beat(base, "nightly")
    told = stepmark("status").err.splitlines()
    assert [line for line in told if "worker w0@test: it is not set" in line] == told[-2:]
    assert "2 left out (lacking): web-1, web-2" in stepmark("rollout", "show", rollout).out


def test_run_of_one_that_waits(stepmark: Stepmark, write: Write, base: Base) -> None:
    stepmark("schedule", "apply", write({**OFTEN, "overlap": "queue"}))
    rollout = stepmark("schedule", "run", "often").out.split()[1]

    said = stepmark("schedule", "run", "often")

    reason = f"rollout {rollout}, which an earlier firing began, goes on"
    assert (said.status, said.out, said.err) == (Exit.OK, "", f"it waits: {reason}\n")
    assert stepmark("schedule", "list", "--json").json["schedules"][0]["waiting_since"]
    assert "waits for an earlier one" in stepmark("schedule", "show", "often").out


def test_pause_and_unpause(stepmark: Stepmark, write: Write, base: Base) -> None:
    stepmark("schedule", "apply", write(OFTEN))

    paused = stepmark("schedule", "pause", "often", "--reason", "a freeze")
    again = stepmark("schedule", "pause", "often", "--reason", "another", "--json")
    same = stepmark("schedule", "pause", "often")
    listed = stepmark("schedule", "list")
    going = stepmark("schedule", "unpause", "often", "--json")
    twice = stepmark("schedule", "unpause", "often")

    assert paused.out.startswith(f"often: paused by {whoami()} since 2")
    assert paused.out.endswith("Z: a freeze\n")
    assert again.json["paused"]["reason"] == "a freeze"
    assert (again.json["next_at"], again.status, again.err) == (None, Exit.OK, "")
    assert (same.status, same.out) == (Exit.OK, paused.out)
    assert same.err.startswith(f"already paused by {whoami()} since 2")
    assert same.err.endswith("Z: nothing is changed\n")
    assert "a freeze" in listed.out
    assert going.json["paused"] is None
    assert going.json["next_at"] == pytest.approx(base.now() + 90 * 60, abs=60)
    assert (paused.err, going.err, twice.err) == ("", "", "it was not paused\n")
    assert (twice.status, twice.out[:8]) == (Exit.OK, "often: n")


def test_remove(stepmark: Stepmark, write: Write, base: Base) -> None:
    stepmark("schedule", "apply", write(NIGHTLY, OFTEN))

    removed, as_json = stepmark("schedule", "remove", "often"), stepmark("schedule", "remove", "nightly", "--json")

    assert removed.out == "Schedule often is removed.\n"
    assert as_json.json == {"removed": "nightly"}
    assert base.client.keys("*") == []


def test_what_stands_by_itself_comes_back_when_it_is_removed(stepmark: Stepmark, base: Base) -> None:
    Schedules(base.client, base.keys).stand(base.now())
    stepmark("schedule", "pause", "retention")

    said = stepmark("schedule", "remove", "retention")

    assert "`stepmark schedule pause retention` stops it" in said.err
    assert stepmark("schedule", "show", "retention", "--json").json["paused"] is None


@pytest.mark.parametrize("command", ["show", "run", "pause", "unpause", "remove"])
def test_a_name_that_there_is_not(stepmark: Stepmark, base: Base, command: str) -> None:
    said = stepmark("schedule", command, "nigthly", "--json")

    assert said.status == Exit.USAGE
    assert said.json["error"]["message"] == "there is no schedule 'nigthly'"
    assert base.client.keys("*") == []


def test_names_are_completed(stepmark: Stepmark, write: Write) -> None:
    stepmark("schedule", "apply", write(NIGHTLY, OFTEN))

    assert options.complete_schedule("") == ["nightly", "often"]
    assert options.complete_schedule("of") == ["often"]


def test_doctor_says_whether_they_are_fired(stepmark: Stepmark, write: Write, base: Base) -> None:
    def said() -> tuple[str, str]:
        checks = stepmark("doctor", "--json").json["checks"]
        return next((each["verdict"], each["detail"]) for each in checks if each["name"] == "schedules")

    none = said()
    stepmark("schedule", "apply", write(NIGHTLY, OFTEN))
    without = said()
    base.client.set(base.keys.beat_lock(), "vm1/4711 token", ex=60)

    assert (none, without) == (("ok", "none"), ("limited", "2, but no beat is active"))
    assert said() == ("ok", "2, fired by the beat vm1/4711")
