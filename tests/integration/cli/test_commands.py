"""Every command that needs Redis, by exit status, text and JSON; steps are scripted, all else is real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker, ended
from workers import restarts
from workers.cli import connect, options, watch
from workers.cli.progress import View
from workers.cli.reports import Exit
from workers.runtime import Base
from workers.verbs import whoami

Fleet = Callable[..., Path]
Worker = subprocess.Popen[bytes]
OUTCOME_KEYS = {
    *(
        "environment",
        "outcome",
        "state",
        "partial",
        "run",
        "workflow",
        "step",
        "index",
        "total",
        "failure",
        "error",
        "drift",
    ),
}


def test_up_waits_follows_the_second_run_and_ends_well(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    said = stepmark("up", fleet(web_1={}, web_2={"not-possible": "ansible.firewall"}))
    lines = said.err.splitlines()

    assert said.status == Exit.OK
    table, _, summary = said.out.rpartition("\n\n")
    assert [line.split()[:3] for line in table.splitlines()] == [
        ["environment", "state", "run"],
        ["web-1", "configured", "configure"],
        ["web-2", "configured", "(partial)"],
    ]
    assert summary.endswith("succeeded  2/2: 2 succeeded, 1 partial\n")
    assert any("web-1 register: succeeded, provisioned" in line for line in lines)
    assert any("web-2 configure 4/4 configure-firewall: not-possible in" in line for line in lines)
    assert len([line for line in lines if "web-1" in line]) == 2 * 2 + 7 * 2


def test_one_failure_of_two_is_a_partial_failure(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    said = stepmark("up", fleet(web_1={}, web_2={"fail": "ssh.wait"}), "--json")
    good, bad = said.json["environments"]

    assert said.status == said.json["exit_status"] == Exit.PARTLY
    assert said.err == ""
    assert good.keys() == bad.keys() == OUTCOME_KEYS
    assert (good["outcome"], good["state"], good["workflow"]) == ("succeeded", "configured", "configure")
    assert (bad["outcome"], bad["state"], bad["step"]) == ("failed", "register-failed", "wait-ssh-connectivity")
    assert bad["failure"]["failed_step"] == "wait-ssh-connectivity"


def test_a_failure_says_what_to_do_and_resume_does_it(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    failed = stepmark("register", fleet(web_1={"fail": "cloudinit.wait"}))
    shown = stepmark("show", "web-1")
    resumed = stepmark("resume", "web-1", "--json")

    assert failed.status == Exit.FAILED
    assert "web-1: register 3/3 cloud-init-wait: command-execution" in failed.out
    assert "stepmark trace" in failed.out
    assert "`stepmark resume web-1`" in failed.out
    assert "  3/3 cloud-init-wait              failed" in shown.out
    assert resumed.status == Exit.OK
    assert resumed.json["environments"][0]["state"] == "provisioned"


def test_show_lists_what_failed_before_also_of_a_run_that_ended_well(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker
) -> None:
    stepmark("up", fleet(web_1={"fail": "ssh.wait", "last": "2"}))
    stepmark("resume", "web-1")
    third = stepmark("trace", "web-1").out
    stepmark("resume", "web-1")
    second, first = (stepmark("trace", trace, "--json").json for trace in base.store.traces("web-1"))
    register = base.store.history("web-1")[-1]
    shown = stepmark("show", "web-1", "--json").json

    steps = next(run for run in shown["history"] if run["run"] == register)["steps"]
    assert shown["state"] == "configured"
    assert [each["trace_id"] for each in steps[0]["earlier"]] == [
        first["context"]["trace_id"],
        second["context"]["trace_id"],
    ]
    assert [each["attempt"] for each in second["earlier"]] == [1]
    assert f"(trace {first['context']['trace_id']})" in third


def test_the_history_says_when_each_run_began(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    stepmark("up", fleet(web_1={}))
    second, first = base.store.history("web-1")
    base.client.hset(base.keys.run(first), mapping={"created_at": "0", "begun_at": "1", "started_at": "2"})
    base.client.hset(base.keys.run(second), mapping={"created_at": "0", "begun_at": "31", "started_at": "32"})

    lines = stepmark("show", "web-1").out.splitlines()

    assert next(line for line in lines if line.startswith("  by ")).endswith("1970-01-01 00:00:31Z")
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["1970-01-01", "00:00:32Z", second],
        ["1970-01-01", "00:00:02Z", first],
    ]


def test_retry_goes_on_from_an_earlier_step(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    stepmark("register", fleet(web_1={"fail": "cloudinit.wait"}))
    unknown = stepmark("retry", "web-1", "--from", "opentofu-apply", "--json")
    retried = stepmark("retry", "web-1", "--from", "wait-ssh-connectivity")

    assert unknown.status == Exit.USAGE
    assert unknown.json["error"]["kind"] == "not-found"
    assert "its steps are: wait-ssh-connectivity" in unknown.json["error"]["help"]
    assert retried.status == Exit.OK
    assert "web-1 register 1/3 wait-ssh-connectivity: started on w0@test, attempt 2" in retried.err


def test_resume_takes_a_changed_fleet(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    stepmark("register", fleet(web_1={"fail": "cloudinit.wait", "times": "1"}))
    stepmark("resume", "web-1", "--fleet", fleet(web_1={"stage": "new"}))

    assert stepmark("show", "web-1", "--json").json["spec"]["labels"] == {"stage": "new"}


def test_what_the_state_refuses(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    path = fleet(web_1={}, web_2={})
    configured = stepmark("configure", path, "--json")
    stepmark("register", path, "--env", "web-1")
    resumed = stepmark("resume", "web-1")
    mixed = stepmark("configure", path)

    assert configured.status == Exit.REFUSED
    assert [each["error"]["kind"] for each in configured.json["environments"]] == ["refused", "refused"]
    assert resumed.status == Exit.REFUSED
    assert "the last run of web-1 has succeeded" in resumed.out
    assert "there is nothing to go on with" in resumed.out
    assert mixed.status == Exit.PARTLY
    assert "web-2: refused: environment web-2 has no host yet" in mixed.out


def test_a_second_run_is_refused_with_the_holders_name(stepmark: Stepmark, fleet: Fleet) -> None:
    """No worker runs: the first one stays queued."""
    path = fleet(web_1={})
    first = stepmark("up", path, "--detach")
    second = stepmark("up", path, "--json")
    error = second.json["environments"][0]["error"]

    assert first.status == Exit.OK
    name, run = first.out.split()
    assert name == "web-1"
    assert second.status == Exit.REFUSED
    assert error["kind"] == "busy"
    assert run in error["message"]
    assert "at register 1/3 wait-ssh-connectivity" in error["message"]


def test_detach_in_json(stepmark: Stepmark, fleet: Fleet) -> None:
    said = stepmark("up", fleet(web_1={}), "--detach", "--json")

    assert said.status == Exit.OK
    assert said.json["environments"][0]["outcome"] == "queued"


def test_interrupting_the_wait_loses_nothing(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("workers.cli.watch.Watch.poll", interrupt)
        said = stepmark("register", fleet(web_1={}))
        again = stepmark("status", "--follow", "web-1")
    start_worker()
    followed = stepmark("status", "--follow", "web-1")

    assert said.status == again.status == Exit.INTERRUPTED
    assert "The runs go on: `stepmark status --follow web-1` follows them." in said.out
    assert followed.status == Exit.OK
    assert "web-1 register: succeeded" in followed.err
    assert ended(base, base.store.history("web-1")[0]).status == "succeeded"


def test_a_run_that_redis_has_forgotten_is_said_to_be_gone(
    stepmark: Stepmark, fleet: Fleet, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is emptied while the command waits: it ends, and says why."""
    polled = watch.Watch.poll

    def emptied(self: watch.Watch, seconds: float) -> object:
        base.client.flushdb()
        return polled(self, seconds)

    monkeypatch.setattr(watch.Watch, "poll", emptied)

    said = stepmark("register", fleet(web_1={}))

    assert said.status == Exit.FAILED
    assert "web-1: its run is gone from Redis" in said.out


def test_no_worker_is_said(stepmark: Stepmark, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while nobody took the run."""
    monkeypatch.setattr("workers.cli.enqueue._NO_WORKER_SECONDS", 0.1)
    told: list[str] = []

    class Shown:
        redrawn = True

        def __enter__(self) -> Shown:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def tell(self, _news: object) -> None:
            return None

        def show(self, view: View) -> None:
            told.append(view.warning)
            if view.warning:
                raise KeyboardInterrupt

    monkeypatch.setattr("workers.cli.progress.display", lambda _console: Shown())
    stepmark("register", fleet(web_1={}))

    assert told[-1] == "no worker has taken web-1 for 0 s: is one running? `stepmark worker`"


def test_a_lost_run_is_shown_as_lost_and_resumed(
    stepmark: Stepmark, fleet: Fleet, start_worker: StartWorker, base: Base
) -> None:
    """The wait ends by itself once the run may be taken up again."""
    start_worker()
    lost = stepmark("register", fleet(web_1={"fail": "cloudinit.wait", "how": "kill-worker"}), "--json")
    status = stepmark("status")
    start_worker()
    resumed = stepmark("resume", "web-1")

    assert lost.status == Exit.FAILED
    assert (lost.json["environments"][0]["outcome"], lost.json["environments"][0]["step"]) == (
        "lost",
        "cloud-init-wait",
    )
    assert "register 3/3 cloud-init-wait  lost" in status.out
    assert resumed.status == Exit.OK
    assert connect.last_run(base, base.store.environment("web-1")).epoch == 2


def test_a_lost_run_that_nobody_watched_over_waits_for_its_worker_and_says_so(
    stepmark: Stepmark, fleet: Fleet, start_worker: StartWorker, base: Base
) -> None:
    """From the first look on, for the length of a lease: its own has lapsed long ago."""
    start_worker()
    stepmark("register", fleet(web_1={"fail": "cloudinit.wait", "how": "kill-worker"}), "--json")
    run = base.store.environment("web-1").run
    base.client.hset(base.keys.server(), "seen", base.now() - 100)

    said = stepmark("resume", "web-1", "--detach")

    assert (said.status, said.out) == (Exit.OK, f"web-1 {run}\n")
    assert f"{restarts.WHY}: trying again in" in " ".join(said.err.split())


def test_to_follow_a_run_ends_with_its_exit_status(stepmark: Stepmark, fleet: Fleet, start_worker: StartWorker) -> None:
    stepmark("register", fleet(web_1={"fail": "cloudinit.wait", "last": "9", "seconds": "1"}, web_2={}), "--detach")
    start_worker()

    both = stepmark("status", "--follow")
    over = stepmark("status", "web-1", "--follow")
    stepmark("resume", "web-1", "--detach")
    failed = stepmark("status", "web-1", "--follow", "--json")

    assert (both.status, over.status, failed.status) == (Exit.PARTLY, Exit.OK, Exit.FAILED)


def test_destroy_asks(stepmark: Stepmark, fleet: Fleet, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    stepmark("register", fleet(web_1={}))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    kept = stepmark("destroy", "web-1")
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    destroyed = stepmark("destroy", "web-1", "--json")

    assert (kept.status, kept.out) == (Exit.FAILED, "")
    assert "web-1: provisioned, provider existing" in kept.err
    assert destroyed.status == Exit.OK
    assert destroyed.json["environments"][0]["state"] == "destroyed"


def test_a_plan_is_shown_and_changes_nothing(
    stepmark: Stepmark, fleet: Fleet, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fleet(web_1={})
    text, as_json = stepmark("provision", path, "--plan"), stepmark("provision", path, "--plan", "--json")

    assert text.status == as_json.status == Exit.OK
    assert "tofu.plan runs, call 1" in text.out
    assert as_json.json["plans"]["web-1"] == {
        "counts": None,
        "summary": "no plan was made",
        "text": "tofu.plan runs, call 2",
    }
    assert as_json.json["environments"][0]["state"] == "created"


def test_a_plan_that_failed_shows_no_earlier_one(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    path = fleet(web_1={"fail": "tofu.plan", "times": "2", "last": "9"})
    base.client.hset(base.keys.facts("web-1"), "plan", json.dumps({"add": 1, "change": 0, "destroy": 2}))
    made = stepmark("provision", path, "--plan", "--allow-destroy", "--json").json
    failed = stepmark("provision", path, "--plan", "--json").json

    options = [base.client.hget(base.keys.run(run), "options") for run in base.store.history("web-1")]
    assert made["plans"]["web-1"]["summary"] == "1 to add, 0 to change, 2 to destroy"
    assert failed["plans"]["web-1"]["summary"] == "no plan was made"
    assert failed["plans"]["web-1"]["counts"] is None
    assert failed["paused"] is None
    assert [json.loads(each)["allow_destroy"] for each in options] == [False, True]


def test_status_and_show(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    empty = stepmark("status")
    stepmark("up", fleet(web_1={}, web_2={"fail": "ssh.wait"}))
    text, as_json = stepmark("status"), stepmark("status", "web-2", "--json")
    shown = stepmark("show", "web-2", "--json").json

    assert (empty.status, empty.out) == (Exit.OK, "")
    assert "There are no environments yet" in empty.err
    rows = [line.split() for line in text.out.splitlines()]
    assert rows[1][:5] == ["web-1", "configured", "configure", "4/4", "succeeded"]
    assert rows[2][:6] == ["web-2", "register-failed", "register", "1/3", "wait-ssh-connectivity", "failed"]
    assert rows[2][-1] == "command-execution"
    (row,) = as_json.json["environments"]
    assert row["run"]["failure"]["error_kind"] == "command-execution"
    assert [step["ending"] for step in row["run"]["steps"]] == ["failed", "pending", "pending"]
    assert shown.keys() == row.keys() | {"spec", "facts", "history", "traces", "checks"}
    assert {key: shown[key] for key in row} == row
    assert "token" not in json.dumps(shown)


def test_trace_by_environment_run_and_id(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    path = fleet(web_1={"fail": "ssh.wait"})
    failure = stepmark("register", path, "--json").json["environments"][0]["failure"]
    texts = {stepmark("trace", which).out for which in ("web-1", failure["run_id"], failure["trace_id"])}
    as_json = stepmark("trace", "web-1", "--json").json

    (text,) = texts
    assert "FAILED  web-1  register 1/3 wait-ssh-connectivity" in text
    assert as_json == {
        "context": failure,
        "error_chain": [{"type": "SameError", "message": "it went wrong"}],
        "earlier": [],
        "sequel": None,
    }


def test_a_trace_says_how_the_run_went_on(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    """No command is advised then that would be refused."""
    path = fleet(web_1={"fail": "ssh.wait"})
    stepmark("register", path)
    before = stepmark("trace", "web-1").out
    stepmark("resume", "web-1")
    after, as_json = stepmark("trace", "web-1").out, stepmark("trace", "web-1", "--json").json
    stepmark("configure", path)

    sequel = f"{whoami()} had it go on; now register 3/3: succeeded"
    assert "WENT ON" not in before
    assert "then `stepmark resume web-1`" in before
    assert f"\nWENT ON {sequel}\n" in after
    assert "`stepmark resume" not in after
    assert as_json["sequel"] == sequel


def test_logs_by_environment_run_and_step(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    path = fleet(web_1={})
    stepmark("up", path)
    run = stepmark("status", "--json").json["environments"][0]["run"]["run"]
    of_environment, of_run = stepmark("logs", "web-1"), stepmark("logs", run, "--follow")
    of_step = stepmark("logs", "web-1", "--step", "wait-ssh-connectivity", "--json").json

    assert of_environment.out == of_run.out
    assert of_environment.out.splitlines()[0] == "ansible.install_docker runs, call 1"
    assert [(line["step"], line["attempt"], line["text"]) for line in of_step["lines"]] == [
        ("wait-ssh-connectivity", 1, "ssh.wait runs, call 1")
    ]
    assert of_step["run"] != run


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("show", "nobody"), "environment 'nobody'"),
        (("status", "nobody"), "environment 'nobody'"),
        (("destroy", "nobody", "--yes"), "environment 'nobody'"),
        (("resume", "nobody"), "environment 'nobody'"),
        (("trace", "nobody"), "environment, run or trace 'nobody'"),
        (("logs", "nobody"), "environment or run 'nobody'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_there_is_not(words: tuple[str, ...], what: str, stepmark: Stepmark) -> None:
    said = stepmark(*words, "--json")

    assert said.status == Exit.USAGE
    assert (said.json["error"]["kind"], said.json["error"]["message"]) == ("not-found", f"there is no {what}")


def test_names_complete(stepmark: Stepmark, fleet: Fleet) -> None:
    stepmark("up", fleet(web_1={}, web_2={}, db_1={}), "--detach")

    assert options.complete_environment("web") == ["web-1", "web-2"]
