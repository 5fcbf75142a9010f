"""Launches over several environments, and `rollout`, through the command line and real workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tasks.failure import RunStatus
from tests.integration import scripted
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import ended, spec
from tests.integration.scheduled import applied, dealt_with
from tests.support import poll
from workers.cli import rollout as rollout_commands
from workers.cli.reports import Exit
from workers.firing import Firings
from workers.reaper import Reaper
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.verbs import whoami

Fleet = Callable[..., Path]
Worker = Popen[bytes]
# `register` goes through ssh.wait, ansible.render, cloudinit.wait
FAILS_TO_REGISTER = {"fail": "ansible.render"}


def many(count: int, **labels: str) -> dict[str, dict[str, str]]:
    return {f"web_{number}": dict(labels) for number in range(1, count + 1)}


def test_a_launch_over_several_is_a_rollout(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    file = fleet(**many(3), bad_1=FAILS_TO_REGISTER)

    said = stepmark("register", file, "--max-parallel", "2")

    assert said.status == Exit.PARTLY
    assert "register of 4 environments, 2 at a time" in said.err
    assert "4/4: 3 succeeded, 1 failed" in said.out
    assert "bad-1: register 2/3 render-ansible-templates: command-execution" in said.out
    assert said.out.endswith("next: `stepmark retry --failed` goes on with what failed\n")
    shown = stepmark("rollout", "show")
    assert "1 failed at render-ansible-templates (command-execution): bad-1" in shown.out
    listed = stepmark("rollout", "list", "--json").json["rollouts"]
    assert [(each["verb"], each["status"], each["succeeded"]) for each in listed] == [("register", "failed", 3)]


def test_in_json(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    said = stepmark("register", fleet(**many(2)), "--json")

    assert said.status == Exit.OK
    found = said.json
    assert (found["rollout"]["status"], found["rollout"]["total"], found["exit_status"]) == ("succeeded", 2, 0)
    assert [(each["environment"], each["outcome"]) for each in found["environments"]] == [
        ("web-1", "succeeded"),
        ("web-2", "succeeded"),
    ]
    shown = stepmark("rollout", "show", found["rollout"]["rollout"], "--json").json
    assert {name: each["status"] for name, each in shown["outcomes"].items()} == {
        "web-1": "succeeded",
        "web-2": "succeeded",
    }
    assert [each["event"] for each in shown["events"]] == ["begun", "ended"]


def test_a_canary_pauses_and_is_resumed(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    said = stepmark("register", fleet(**many(4)), "--canary", "1")

    assert said.status == Exit.PARTLY
    assert "paused by the canary: it has ended, all well: look, then resume  1/4: 1 succeeded, 3 to come" in said.out
    assert "`stepmark rollout resume" in said.out
    shown = stepmark("rollout", "show").out
    assert "  1 succeeded: web-1\n  3 to come: web-2, web-3, web-4\n" in shown
    assert "the canary has ended; next: environments 2 to 4" in shown
    assert stepmark("rollout", "show", "--json").json["to_come"] == ["web-2", "web-3", "web-4"]

    resumed = stepmark("rollout", "resume", "--reason", "fine")

    assert resumed.status == Exit.OK
    assert "4/4: 4 succeeded" in resumed.out
    assert "resumed by" in stepmark("rollout", "show").out
    stepmark("pause")
    assert "`stepmark unpause` goes on" in stepmark("rollout", "list").err


def test_a_breached_budget_pauses(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    said = stepmark(
        "register", fleet(**many(5, **FAILS_TO_REGISTER)), "--max-parallel", "1", "--budget", "command-execution=1"
    )

    assert said.status == Exit.PARTLY
    assert "paused by the budget: 2 failures of kind command-execution, 1 tolerated" in said.out
    assert "2/5: 2 failed, 3 to come" in said.out


def test_detached_it_goes_on_by_itself(stepmark: Stepmark, fleet: Fleet, worker: Worker, base: Base) -> None:
    said = stepmark("register", fleet(**many(5)), "--max-parallel", "1", "--detach")

    assert said.status == Exit.OK
    word, rollout = said.out.split()
    store = RolloutStore(base.client, base.keys)
    assert word == "rollout"
    poll(lambda: store.rollout(rollout).over, seconds=60)
    assert store.rollout(rollout).succeeded == 5


def test_pause_and_cancel(stepmark: Stepmark, fleet: Fleet) -> None:
    stepmark("register", fleet(**many(3)), "--max-parallel", "1", "--detach", "--no-check")

    assert "paused by" in stepmark("rollout", "pause", "--reason", "look").out
    again = stepmark("rollout", "pause")
    cancelled = stepmark("rollout", "cancel", "--reason", "wrong")
    over = stepmark("rollout", "resume")

    assert (again.status, over.status) == (Exit.REFUSED, Exit.REFUSED)
    assert "is paused" in again.err
    assert "is cancelled" in over.err
    assert "cancelled by" in cancelled.out
    assert ": wrong  0/3: 1 going on" in cancelled.out


def test_cancel_now_cancels_what_goes_on(stepmark: Stepmark, fleet: Fleet, worker: Worker, base: Base) -> None:
    stepmark("register", fleet(**many(3, fail="ssh.wait", how="wait", last="9")), "--max-parallel", "2", "--detach")
    store = RolloutStore(base.client, base.keys)
    rollout = store.newest()

    said = stepmark("rollout", "cancel", "--now", "--reason", "wrong image")

    assert said.status == Exit.OK
    assert base.client.hlen(base.keys.cancels()) == 2
    assert store.rollout(rollout).status.value == "cancelled"


def test_show_without_an_id_is_of_what_no_schedule_began(
    stepmark: Stepmark, fleet: Fleet, base: Base, firings: Firings
) -> None:
    """Whatever a schedule has begun since. What changes one wants the id: whoever says it twice hits no other one."""
    stepmark("register", fleet(**many(2)), "--max-parallel", "1", "--detach", "--no-check")
    mine = RolloutStore(base.client, base.keys).newest()
    fired = dealt_with(firings, applied(base, spec("db-1"))).rollout or ""

    shown, refused = stepmark("rollout", "show", "--json").json, stepmark("rollout", "pause")
    by_id, twice = stepmark("rollout", "pause", fired), stepmark("rollout", "pause")

    assert (shown["rollout"], refused.status) == (mine, Exit.REFUSED)
    assert f"{fired} (schedule nightly, running), {mine} (register by " in refused.err
    assert (by_id.status, twice.status) == (Exit.OK, Exit.REFUSED)
    assert f"{fired} (schedule nightly, paused), {mine} (register by " in twice.err
    assert stepmark("rollout", "show", mine, "--json").json["status"] == "running"
    assert stepmark("rollout", "cancel", mine).status == Exit.OK


def test_the_only_one_needs_no_id_whoever_began_it(stepmark: Stepmark, base: Base, firings: Firings) -> None:
    fired = dealt_with(firings, applied(base, spec("db-1"))).rollout or ""

    paused, resumed = stepmark("rollout", "pause", "--reason", "look"), stepmark("rollout", "resume", "--detach")

    assert (paused.status, resumed.status, resumed.out) == (Exit.OK, Exit.OK, f"rollout {fired}\n")


def test_one_that_another_version_keeps_may_be_meant_too(stepmark: Stepmark, fleet: Fleet, base: Base) -> None:
    stepmark("register", fleet(**many(2)), "--max-parallel", "1", "--detach", "--no-check")
    base.client.hset(base.keys.rollout("r9"), mapping={"rollout": "r9", "schema": "99"})
    base.client.sadd(base.keys.live_rollouts(), "r9", "r-gone")

    said, listed = stepmark("rollout", "pause"), stepmark("rollout", "list")

    assert (said.status, "r9 (kept by another version)" in said.err) == (Exit.REFUSED, True)
    assert "Rollout r9 goes on too" in listed.err


def test_list_says_who_began_each(stepmark: Stepmark, fleet: Fleet, base: Base, firings: Firings) -> None:
    dealt_with(firings, applied(base, spec("db-1")))
    stepmark("register", fleet(**many(12)), "--max-parallel", "1", "--detach", "--no-check")

    heading, mine, nightly = (line.rstrip() for line in stepmark("rollout", "list").out.splitlines())

    assert heading.split() == ["rollout", "what", "begun", "by", "status", "done", "outcome"]
    assert mine.split()[4:] == [whoami(), "running", "0/12"]
    assert nightly.split()[4:] == ["schedule", "nightly", "running", "0/1"]
    assert len(nightly) <= 100


def test_cancel_and_then_cancel_now(stepmark: Stepmark, fleet: Fleet, base: Base) -> None:
    """Once it is over there is nothing to cancel."""
    stepmark("register", fleet(**many(3)), "--max-parallel", "2", "--detach", "--no-check")
    first, again = stepmark("rollout", "cancel"), stepmark("rollout", "cancel")
    before = base.client.hlen(base.keys.cancels())
    now, twice = (stepmark("rollout", "cancel", "--now") for _ in range(2))
    after = base.client.hlen(base.keys.cancels())
    Reaper(base, scripted.app).look()

    assert (first.status, again.status, before) == (Exit.OK, Exit.REFUSED, 0)
    assert (now.status, twice.status, after) == (Exit.OK, Exit.OK, 2)
    assert stepmark("rollout", "cancel", "--now").status == Exit.REFUSED


def test_cancel_now_cancels_what_follows_a_run_that_ends_meanwhile(
    stepmark: Stepmark, fleet: Fleet, worker: Worker, base: Base, steps_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` is two runs."""
    stepmark(
        "up", fleet(**many(1, fail="ssh.wait", how="wait", seconds="0.5"), web_2={}), "--detach", "--max-parallel", "1"
    )
    original, store = rollout_commands.live_runs, RolloutStore(base.client, base.keys)
    (first,) = store.slots(store.newest()).values()

    def slow(*words: Any, **more: Any) -> Any:
        found = original(*words, **more)
        steps_log.with_name("go").touch()
        poll(lambda: base.store.run(first).status is RunStatus.SUCCEEDED)
        return found

    monkeypatch.setattr(rollout_commands, "live_runs", slow)

    assert stepmark("rollout", "cancel", "--now").status == Exit.OK
    assert ended(base, base.store.run(first).next).status is RunStatus.CANCELLED


def test_only_those_that_failed_so(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    file = fleet(**many(2), bad_1=FAILS_TO_REGISTER, bad_2=FAILS_TO_REGISTER)
    stepmark("register", file)

    none = stepmark("register", file, "--failed", "--only-kind", "quota")
    said = stepmark("register", file, "--failed", "--only-kind", "command-execution", "--json")

    assert (none.status, none.out) == (Exit.OK, "")
    assert "there is nothing to launch" in none.err
    assert [each["environment"] for each in said.json["environments"]] == ["bad-1", "bad-2"]
    assert stepmark("register", file, "--only-kind", "quota").status == Exit.USAGE


def test_retry_failed_is_a_rollout_of_resumptions(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    stepmark("register", fleet(**many(1), bad_1=FAILS_TO_REGISTER, bad_2=FAILS_TO_REGISTER))

    said = stepmark("retry", "--failed", "--yes", "--json")

    found: dict[str, Any] = said.json
    assert said.status == Exit.OK
    assert (found["rollout"]["verb"], found["rollout"]["total"]) == ("resume", 2)
    assert {each["environment"]: each["outcome"] for each in found["environments"]} == {
        "bad-1": "succeeded",
        "bad-2": "succeeded",
    }


def test_how_retry_failed_goes_may_be_said(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    """Over one environment too, as with a launch; what is not said is as in the fleet file, if one is there."""
    file = fleet(bad_1=FAILS_TO_REGISTER, bad_2=FAILS_TO_REGISTER)
    stepmark("register", file)

    both = stepmark("retry", "--failed", "--yes", "--canary", "1", "--max-parallel", "3", "--json")
    stepmark("rollout", "cancel")
    one = stepmark("retry", "--failed", "--yes", "--per-provider", "existing=2", "--detach")

    found = both.json["rollout"]
    assert (both.status, found["status"], found["canary"], found["max_parallel"]) == (Exit.PARTLY, "paused", 1, 3)
    assert (one.status, one.out.split()[0]) == (Exit.OK, "rollout")
    assert "resume of 1 environment, 100 at a time; at most 2 of existing" in one.err


def test_what_is_said_when_it_is_resumed_holds_from_then_on(stepmark: Stepmark, fleet: Fleet) -> None:
    said = ("--max-parallel", "1", "--budget", "3", "--per-provider", "existing=1")
    stepmark("register", fleet(**many(4)), *said, "--detach", "--no-check")
    stepmark("rollout", "pause")

    stepmark("rollout", "resume", "--max-parallel", "2", "--deadline", "2h", "--detach")

    shown = stepmark("rollout", "show").out
    assert "2 at a time; at most 1 of existing; 3 failures tolerated; nothing new after 2h" in shown
    assert "; max parallel 2; " in shown.partition("resumed by")[2]


def test_there_is_none_yet(stepmark: Stepmark) -> None:
    assert "There are no rollouts yet" in stepmark("rollout", "list").err
    said = stepmark("rollout", "show")
    assert (said.status, "there is no rollout yet" in said.err) == (Exit.USAGE, True)
    assert stepmark("rollout", "pause", "r123").status == Exit.USAGE
    none = stepmark("rollout", "pause")
    assert (none.status, "no rollout goes on" in none.err) == (Exit.REFUSED, True)
