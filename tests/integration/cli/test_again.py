"""`resume`, `retry` and `skip`: what they preview, what they say, and what they do about lost runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.context import Options
from tasks.environment import State
from tasks.failure import Cause, RunStatus
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.test_succession import timed
from tests.support import poll
from workers.cli import enqueue
from workers.cli.going import GoingOn, Wish
from workers.cli.reports import Exit
from workers.cli.watch import Watch
from workers.launch import Launcher
from workers.refusals import ConflictError
from workers.runtime import Base
from workers.verbs import whoami

Fleet = Callable[..., Path]
Worker = subprocess.Popen[bytes]
FAILING = {"fail": "cloudinit.wait"}
DYING = {"fail": "cloudinit.wait", "how": "kill-worker"}


def test_a_preview_changes_nothing_and_says_what_would_run(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker
) -> None:
    stepmark("up", fleet(web_1=FAILING, web_2={}))
    before = base.store.environment("web-1")

    said, as_json = stepmark("resume", "web-1", "--dry-run"), stepmark("resume", "web-1", "--dry-run", "--json")

    (preview,) = as_json.json["previews"]
    steps = {step["step"]: step for step in preview["steps"]}
    assert said.status == as_json.status == Exit.OK
    assert [step["runs"] for step in preview["steps"]] == [False, False, True, True, True, True, True]
    assert steps["wait-ssh-connectivity"]["why"] == "done before: call 1"
    assert (steps["cloud-init-wait"]["attempt"], steps["cloud-init-wait"]["why"]) == (2, "failed: command-execution")
    assert steps["install-docker"]["why"] == "register goes on to configure"
    assert preview["unknown"] == []
    assert (steps["cloud-init-wait"]["own"], preview["refused"], preview["doubts"]) == (False, "", [])
    assert "register 3 cloud-init-wait" in said.out
    assert "runs, attempt 2" not in said.out.splitlines()[1]
    assert base.store.environment("web-1") == before
    assert (
        stepmark("retry", "web-1", "--from", "wait-ssh-connectivity", "--dry-run").out.count("you go back to it") == 2
    )


def test_a_preview_without_any_history_says_unknown(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker
) -> None:
    stepmark("register", fleet(web_1=FAILING))

    assert "expected: unknown for cloud-init-wait" in stepmark("resume", "web-1", "--dry-run").out


def test_a_preview_of_what_is_refused(stepmark: Stepmark, fleet: Fleet, worker: Worker) -> None:
    stepmark("register", fleet(web_1={}))
    said = stepmark("resume", "web-1", "--dry-run")

    assert said.status == Exit.REFUSED
    assert "refused: the last run of web-1 ended well, there is nothing to go on with" in said.out


def test_a_step_whose_time_was_up_is_not_in_doubt(
    stepmark: Stepmark, base: Base, launcher: Launcher, worker: Worker
) -> None:
    """One of which nobody knows what it has done is: its worker was lost, say."""
    slow = timed(spec(fail="cloudinit.wait", how="tool"), cloud_init_wait=1)
    run = ended(base, launcher.launch(request(slow, "register")).run)

    preview = stepmark("resume", "web-1", "--dry-run", "--json").json["previews"][0]

    assert run.failure is not None
    assert run.failure.cause is Cause.TIMED_OUT
    assert (preview["steps"][2]["why"], preview["doubts"]) == ("failed: timeout", [])


def test_what_was_cancelled_is_said_once(stepmark: Stepmark, fleet: Fleet) -> None:
    stepmark("register", fleet(web_1={}), "--detach", "--no-check")
    stepmark("cancel", "web-1")

    assert ", unknown: cancelled\n" in stepmark("resume", "web-1", "--dry-run").out
    assert stepmark("show", "web-1").out.splitlines()[-1].endswith("wait-ssh-connectivity  cancelled")


def test_what_is_declared_otherwise_since(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    stepmark("register", fleet(web_1=FAILING))
    changed = fleet(web_1={"stage": "new"})

    previewed = stepmark("resume", "web-1", "--fleet", changed, "--dry-run").out
    resumed = stepmark("resume", "web-1", "--fleet", changed)

    assert "declared: labels.stage: unset -> new (only selects)" in previewed
    assert "web-1: declared otherwise now (taken): labels.fail, labels.stage" in resumed.err
    assert base.store.environment("web-1").state is State.PROVISIONED


def test_resume_of_a_lost_run_follows_the_worker_that_takes_it_over(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    start_worker()
    run = stepmark("register", fleet(web_1=DYING), "--detach", "--json").json["environments"][0]["run"]
    poll(lambda: base.store.run(run).display is RunStatus.LOST)
    start_worker()
    poll(lambda: base.client.get(base.keys.reaper()))
    shown = stepmark("status").out

    said = stepmark("resume", "web-1")

    assert said.status == Exit.OK, said.out + said.err
    assert "lost" in shown
    assert base.store.run(run).status is RunStatus.SUCCEEDED
    assert base.store.run(run).epoch == 2


def test_resume_of_a_lost_run_needs_no_other_worker_to_settle_it(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    worker = start_worker()
    run = stepmark("register", fleet(web_1=DYING), "--detach", "--json").json["environments"][0]["run"]
    assert worker.wait(60) != 0
    poll(lambda: base.store.run(run).display is RunStatus.LOST)

    said = stepmark("resume", "web-1", "--detach", "--no-check")

    record = base.store.run(run)
    assert said.status == Exit.OK, said.out + said.err
    assert (record.status, record.epoch) == (RunStatus.QUEUED, 2)
    assert [event["event"] for event in base.store.events(run)][-2:] == ["run-failed", "resumed"]


def test_destroy_of_a_lost_run_destroys(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    """Although a worker lives that would take it over."""
    start_worker()
    run = stepmark("register", fleet(web_1=DYING), "--detach", "--json").json["environments"][0]["run"]
    poll(lambda: base.store.run(run).display is RunStatus.LOST)
    start_worker()

    said = stepmark("destroy", "web-1", "--yes", "--no-check")

    lost = base.store.run(run)
    assert said.status == Exit.OK, said.out
    assert base.store.environment("web-1").state is State.DESTROYED
    assert (lost.status, lost.epoch) == (RunStatus.CANCELLED, 1)
    assert lost.failure is not None
    assert lost.failure.cause is Cause.CANCELLED
    assert "web-1 is to be destroyed" in lost.failure.error_summary


def test_skip_leaves_the_failed_step_out_and_says_who_and_why(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker, steps_log: Path
) -> None:
    stepmark("register", fleet(web_1={"fail": "cloudinit.wait", "last": "9"}))
    other = stepmark("skip", "web-1", "--reason", "no", "--step", "wait-ssh-connectivity")

    said = stepmark("skip", "web-1", "--reason", "it has none", "--step", "cloud-init-wait")

    run = base.store.run(base.store.history("web-1")[0])
    assert other.status == Exit.REFUSED
    assert "is at cloud-init-wait, not at wait-ssh-connectivity" in other.err
    assert said.status == Exit.OK
    assert (run.completed[-1].ending, run.completed[-1].note) == ("skipped", f"skipped by {whoami()}: it has none")
    assert steps_log.read_text().count("cloudinit.wait") == 1
    assert run.trigger == f"skip by {whoami()}"
    assert f"register 3/3 cloud-init-wait: its step is left out by {whoami()}" in said.err
    assert "register 3/3 cloud-init-wait: is left out" in said.err
    assert base.store.events(run.run)[-2]["note"] == f"skipped by {whoami()}: it has none"


def test_only_the_step_that_was_looked_at_is_left_out(
    stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker
) -> None:
    """While its worker's tools were waited for, the run may have gone on and failed at another step."""
    stepmark("register", fleet(web_1=FAILING))
    looked_at = base.store.run(base.store.history("web-1")[0])
    stepmark("resume", "web-1")

    with pytest.raises(ConflictError, match="the run of web-1 is at register 3/3 cloud-init-wait now"):
        GoingOn(base, looked_at, Wish(skip="it has none"), None)()

    assert base.store.run(looked_at.run).epoch == 2


@pytest.mark.parametrize(
    ("labels", "verb", "why"),
    [
        ({"fail": "ssh.wait"}, "register", "the steps after it log in to the host too"),
        ({"fail": "ssh.wait"}, "provision", "the steps after it log in to the host too"),
        ({"fail": "tofu.init"}, "provision", "later steps need what it learns (provider_lock)"),
        ({"fail": "tofu.destroy"}, "destroy", "its host would run on, and nobody would know of it"),
    ],
)
def test_what_cannot_be_left_out(
    labels: dict[str, str], verb: str, why: str, stepmark: Stepmark, fleet: Fleet, worker: Worker
) -> None:
    path = fleet(web_1=labels)
    stepmark("register" if verb == "destroy" else verb, path)
    if verb == "destroy":
        stepmark("destroy", "web-1", "--yes", "--no-check")

    said = stepmark("skip", "web-1", "--reason", "no")

    assert said.status == Exit.REFUSED
    assert why in said.err
    assert "`stepmark resume web-1` runs it again" in said.err


def test_what_a_lost_worker_may_have_done_cannot_be_left_out(
    stepmark: Stepmark, base: Base, launcher: Launcher, start_worker: StartWorker
) -> None:
    """Nobody has settled the run yet; what is known already does not say what the step did."""
    start_worker()
    run = launcher.launch(request(spec(fail="tofu.plan", how="kill-worker"), "impatient")).run
    poll(lambda: base.store.run(run).display is RunStatus.LOST)

    said = stepmark("skip", "web-1", "--reason", "it is done", "--no-check")

    assert said.status == Exit.REFUSED
    assert "step asked cannot be left out: it was cut off, and nobody knows what it has done" in said.err
    assert base.store.run(run).epoch == 1


def test_all_that_failed_so_are_tried_again(stepmark: Stepmark, fleet: Fleet, base: Base, worker: Worker) -> None:
    refused = {"fail": "ssh.wait"}
    stepmark("register", fleet(web_1=FAILING, web_2=refused, web_3=FAILING, web_4={}))
    nobody = stepmark("retry", "--failed")
    nothing = stepmark("retry", "--failed", "--kind", "quota", "--json")

    said = stepmark("retry", "--failed", "--step", "cloud-init-wait", "--kind", "command-execution", "--yes")

    assert nobody.status == Exit.USAGE
    assert "say --yes" in nobody.err
    assert (nothing.status, nothing.json["environments"]) == (Exit.OK, [])
    assert "No environment's last run has failed so" in nothing.err
    assert said.status == Exit.OK
    assert "web-1: register 3/3 cloud-init-wait: command-execution" in said.err
    states = {record.name: record.state.value for record in base.store.environments()}
    assert states == {
        "web-1": "provisioned",
        "web-2": "register-failed",
        "web-3": "provisioned",
        "web-4": "provisioned",
    }


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("--group", "nope"), "there is no group 'nope' among what was launched"),
        (("--label", "fail=nope"), "there is no label 'fail=nope' among what was launched"),
    ],
)
def test_a_slip_of_the_hand_is_not_taken_for_nothing_to_do(
    choice: tuple[str, ...], message: str, stepmark: Stepmark, fleet: Fleet
) -> None:
    stepmark("register", fleet(web_1=FAILING), "--detach", "--no-check")

    said = stepmark("retry", "--failed", *choice, "--yes")

    assert said.status == Exit.USAGE
    assert message in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("retry",),
        ("retry", "web-1"),
        ("retry", "web-1", "--from", "x", "--kind", "quota"),
        ("retry", "--failed", "--step", "nosuch"),
        ("skip", "web-1"),
    ],
)
def test_what_makes_no_sense(words: tuple[str, ...], stepmark: Stepmark) -> None:
    assert stepmark(*words, "--json").status == Exit.USAGE


def test_the_word_that_nothing_was_made_holds_for_one_execution(
    stepmark: Stepmark, fleet: Fleet, base: Base, start_worker: StartWorker
) -> None:
    """The next one that is cut off is looked at again."""

    def options(run: str) -> Options:
        return Options(**json.loads(str(base.client.hget(base.keys.run(run), "options"))))

    start_worker()
    path = fleet(web_1={"fail": "cloudinit.wait", "how": "tool", "times": "1", "last": "2"})
    run = stepmark("register", path, "--detach", "--json").json["environments"][0]["run"]
    at_work = (RunStatus.RUNNING, 3)
    poll(lambda: (base.store.run(run).status, base.store.run(run).index) == at_work)
    stepmark("cancel", "web-1")
    stepmark("resume", "web-1", "--nothing-made", "--detach")
    poll(lambda: (base.store.run(run).status, base.store.run(run).index) == at_work)
    said = options(run)

    stepmark("cancel", "web-1")

    assert (said, options(run)) == (Options(nothing_made=True), Options())
    assert base.client.hget(base.keys.run(run), "uncertain:3") == "1"


def test_one_that_somebody_else_resumes_is_followed_to_its_end(
    stepmark: Stepmark, fleet: Fleet, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had failed as its first operator looked; a moment later it goes on, and nobody knows yet how it ends."""
    del worker
    followed: list[str] = []
    follow = enqueue.follow

    def follow_and_resume(watched: Watch, *, as_json: bool) -> None:
        follow(watched, as_json=as_json)
        followed.append("so far")
        if len(followed) == 1:
            stepmark("resume", "web-1", "--detach")

    monkeypatch.setattr(enqueue, "follow", follow_and_resume)

    said = stepmark("register", fleet(web_1=FAILING))

    assert followed  # once more if it had not ended by then
    assert (said.status, "queued" in said.out, "provisioned" in said.out) == (Exit.OK, False, True), said
