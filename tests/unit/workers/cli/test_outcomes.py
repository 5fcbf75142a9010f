"""What became of environments: the word, the exit status, the table, the JSON."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tasks.environment import State
from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus, build
from workers.cli import outcomes, output
from workers.cli.outcomes import Outcome
from workers.cli.reports import Exit, Report
from workers.records import DriftMark, EnvironmentRecord, RunRecord


def record(name: str, state: State = State.CONFIGURED) -> EnvironmentRecord:
    return EnvironmentRecord(
        name=name, state=state, revision=1, created_at=1.0, updated_at=2.0, spec="{}", last_run="r1"
    )


def run(status: RunStatus = RunStatus.SUCCEEDED, **more: object) -> RunRecord:
    values: dict[str, object] = {
        "run": "r1",
        "token": "t",
        "epoch": 1,
        "delivery": 1,
        "environment": "web-1",
        "workflow": "provision",
        "names": ("one", "two"),
        "queues": ("tools", "wait"),
        "total": 2,
        "status": status,
        "index": 2,
        "step": "two",
        "created_at": 100.0,
        "user": "me@here",
        "trigger": "up",
        "read_at": 200.0,
        "started_at": 110.0,
        **more,
    }
    return RunRecord.model_validate(values)


def failed() -> RunRecord:
    found = Failure(Kind.TIMEOUT, Cause.TIMED_OUT, "DeadlineError", "too slow", "ssh host true", 255, "line 1\nline 2")
    context = build(run(RunStatus.RUNNING).tracked(), found, at=150.0, trace_id="t-1", trace_path="p")
    return run(RunStatus.FAILED, failure=context, ended_at=150.0)


GOOD = Outcome("web-1", record("web-1"), run(), None)
BAD = Outcome("web-2", record("web-2", State.PROVISION_FAILED), failed(), None)
LOST = Outcome("web-3", record("web-3"), run(RunStatus.RUNNING, worker="w1", lease_until=150.0), None)
MARK = DriftMark(since=90.0, at=150.0, run="r1", add=1, change=0, destroy=0, summary="hcloud_server.host: create")
DRIFTED = Outcome("web-5", record("web-5").model_copy(update={"drift": MARK}), run(workflow="drift-check"), None)
OF_BEFORE = Outcome("web-6", DRIFTED.record, run(run="r2"), None)
REFUSED = Outcome("web-4", None, None, Report(Exit.REFUSED, "busy", "held by me", "wait"))


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([GOOD], Exit.OK),
        ([GOOD, GOOD], Exit.OK),
        ([BAD], Exit.FAILED),
        ([LOST], Exit.FAILED),
        ([REFUSED], Exit.REFUSED),
        ([REFUSED, REFUSED], Exit.REFUSED),
        ([REFUSED, BAD], Exit.FAILED),
        ([GOOD, BAD], Exit.PARTLY),
        ([GOOD, REFUSED], Exit.PARTLY),
        ([GOOD, LOST, REFUSED], Exit.PARTLY),
        ([DRIFTED], Exit.DRIFTED),
        ([DRIFTED, GOOD], Exit.DRIFTED),
        ([DRIFTED, BAD], Exit.PARTLY),
        ([OF_BEFORE], Exit.OK),
    ],
)
def test_exit_status(found: list[Outcome], status: Exit) -> None:
    assert outcomes.exit_status(found) is status


def test_shape() -> None:
    context = failed().failure
    assert context is not None
    shared = {"environment": "web-2", "state": "provision-failed", "partial": False, "error": None, "drift": None}
    place = {"run": "r1", "workflow": "provision", "step": "two", "index": 2, "total": 2}

    assert BAD.shape() == {**shared, **place, "outcome": "failed", "failure": context.model_dump(mode="json")}
    assert REFUSED.shape() == {
        **dict.fromkeys(("state", "run", "workflow", "step", "index", "total", "failure", "drift")),
        "environment": "web-4",
        "outcome": "refused",
        "partial": False,
        "error": {"kind": "busy", "message": "held by me", "help": "wait", "problems": []},
    }


def test_show() -> None:
    shown, context = io.StringIO(), failed().failure
    assert context is not None
    outcomes.show([GOOD, BAD, LOST, REFUSED], Console(file=shown, width=200))

    assert [line.rstrip() for line in shown.getvalue().splitlines()] == [
        "environment  state             run                outcome    took",
        "web-1        configured        provision 2/2      succeeded  1m",
        "web-2        provision-failed  provision 2/2 two  failed     40 s",
        "web-3        configured        provision 2/2 two  lost       1m",
        "web-4        -                 -                  refused",
        "",
        "web-1: provision 2/2 two: timeout",
        "  too slow",
        "  command: ssh host true (exit status 255)",
        "  | line 1",
        "  | line 2",
        "  trace:   stepmark trace t-1",
        f"  next:    {context.hint}",
        "",
        "web-3: lost at provision 2/2 two: its worker w1 is not heard of any more",
        "  next:    nothing, while a worker lives (`stepmark worker list`): one goes on with it, or says why not",
        "",
        "web-4: refused: held by me",
        "  next:    wait",
    ]


@pytest.mark.parametrize(
    ("times", "begun_at", "took"),
    [
        ({"ended_at": 160.0}, None, "50 s"),  # a record of an older version
        ({"ended_at": 160.0, "begun_at": 155.0}, None, "5.0 s"),  # it was resumed
        ({"ended_at": 160.0, "begun_at": 155.0}, 118.0, "42 s"),  # the second run of an `up`
        ({"status": RunStatus.RUNNING, "lease_until": 300.0, "begun_at": 180.0}, None, "20 s"),
    ],
)
def test_it_took_what_was_waited_for(times: dict[str, object], begun_at: float | None, took: str) -> None:
    outcome = Outcome("web-1", record("web-1"), run(**times), None, begun_at=begun_at)  # type: ignore[arg-type]

    assert outcomes._row(outcome)[-1] == took


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_cuts_nothing(width: int) -> None:
    table = output.table("environment", "state", "since", whole=("environment", "since"))
    table.add_row("web-1", "configured (partial)", "12 min")
    console = Console(width=width, record=True, file=io.StringIO())

    console.print(table)

    shown = console.export_text()
    assert "…" not in shown
    assert {"web-1", "(partial)", "12", "min"} <= set(shown.split())


def test_of_many_only_some_that_went_badly_are_explained() -> None:
    shown = io.StringIO()
    good = [GOOD] * 9000
    bad = [Outcome(f"web-{number}", BAD.record, BAD.run, None) for number in range(1000)]

    outcomes.show([*good, *bad], Console(file=shown, width=200))

    lines = shown.getvalue().splitlines()
    assert lines[0] == "10000 environments: 9000 succeeded, 1000 failed"
    assert [line.split()[0] for line in lines[2:22]] == [f"web-{number}" for number in range(20)]
    assert lines[-1].startswith("and 980 more that did not go well: `stepmark status --state failed --all`")
    assert len(lines) < 250


def test_drift_is_shown_with_what_to_do_about_it() -> None:
    shown = io.StringIO()
    outcomes.show([DRIFTED, OF_BEFORE], Console(file=shown, width=200))

    assert [line.rstrip() for line in shown.getvalue().splitlines()] == [
        "environment  state                 run              outcome    took",
        "web-5        configured (drifted)  drift-check 2/2  succeeded  1m",
        "web-6        configured (drifted)  provision 2/2    succeeded  1m",
        "",
        "web-5: drifted since 1970-01-01 00:01:30Z: 1 to add, 0 to change, 0 to destroy: hcloud_server.host: create",
        "  next:    `stepmark provision --plan` shows what would be done, `stepmark up` does it, and configures the "
        "host again",
    ]
    assert DRIFTED.shape()["drift"] == MARK.model_dump(mode="json")


def shown(*found: Outcome) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    outcomes.show(found, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_host_that_was_configured_is_to_be_configured_again() -> None:
    provisioned = record("web-1", State.PROVISIONED)
    again = Outcome("web-1", provisioned, run(origin_state="configured"), None)
    new = Outcome("web-1", provisioned, run(origin_state="created"), None)

    assert shown(again)[-2:] == ["configured before, provisioned now: web-1", "  next:    `stepmark configure`"]
    assert "configured before, provisioned now: web-1, web-1, web-1, web-1, web-1 and 46 more" in shown(*[again] * 51)
    assert len(shown(new)) == 2


def test_a_host_that_is_not_reached_may_have_been_known_not_to_run() -> None:
    mark = MARK.model_copy(update={"summary": "hcloud_server.host: host web-2 does not run"})
    known = record("web-2").model_copy(update={"drift": mark, "spec": '{"provider": {"name": "hetzner"}}'})
    drifted = Outcome("web-2", known, failed(), None)

    assert shown(drifted)[-1].startswith("  drift:   drifted since 1970-01-01 00:01:30Z: 1 to add")
    assert shown(drifted)[-1].endswith("does not run; start it at the provider, then `stepmark drift` again")
