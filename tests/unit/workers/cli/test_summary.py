"""A fleet on one screen."""

from __future__ import annotations

from workers.cli import summary
from workers.cli.outlook import Outlook
from workers.overview import Overview
from workers.overviewrow import Row

AT = 1000.0
AROUND = Outlook(takeover_seconds=11.0)


def row(number: int, state: str, status: str = "", **more: str) -> Row:
    """An environment whose run is at the second step of two."""
    place = {"run": f"r{number}", "epoch": "1", "workflow": "provision", "step_index": "2", "total": "2", "step": "two"}
    times = {"created_at": "800.0", "started_at": "800.0", "due_at": "880.0", "step_started_at": "900.0"}
    values = {"schema": "1", "run_schema": "1", "state_partial": "0", "partial": "0", "updated_at": "900.0"}
    if status:
        values |= {**place, **times, "status": status}
    values |= {"environment": f"web-{number}", "state": state}
    return Row(**(dict.fromkeys(Row._fields, "") | values | more))


def said(*rows: Row, around: Outlook = AROUND) -> list[str]:
    found = Overview(AT, rows, {"r9.1.2.1": 990.0}, 1, "", (), frozenset())
    return list(summary.lines(found, around))


def test_a_fleet_at_rest_is_two_lines() -> None:
    rows = [row(number, "configured", "succeeded", ended_at="910.0") for number in range(3)]

    assert said(*rows, row(4, "created")) == [
        "4 environments: 3 configured, 1 created",
        "their runs: 3 succeeded",
    ]


def test_what_goes_on_what_failed_and_what_needs_a_look() -> None:
    lines = said(
        row(1, ["configured", "(partial)"][0], "succeeded", state_partial="1", partial="1", ended_at="910.0"),
        row(2, "provisioning", "running", execution="r2.1.2.1"),
        row(3, "provisioning", "queued", step_started_at="", due_at="400.0"),
        row(4, "provision-failed", "failed", kind="timeout", ended_at="940.0"),
        row(5, "provision-failed", "failed", kind="timeout", ended_at="950.0"),
        row(6, "provisioning", "waiting", kind="quota", retried="1", most="3", due_at="1012.0"),
        row(9, "provisioning", "lost", execution="r9.1.2.1", worker="w1"),
    )

    assert lines[:2] == [
        "7 environments: 4 provisioning, 2 provision-failed, 1 configured (partial)",
        "their runs: 1 running, 1 queued, 1 waiting, 1 lost, 2 failed, 1 succeeded",
    ]
    words = [line.split() for line in lines]
    assert ["provision", "2/2", "two", "1", "1", "1", "1", "10m"] in words
    assert "queued longest: web-3 for 10m at provision 2/2 two" in lines
    assert ["provision", "2/2", "two", "timeout", "2"] in words
    eyes = lines[lines.index("\nneed a look: 5 of 5") + 1 :]
    assert [line.split()[0] for line in eyes] == ["web-9", "web-5", "web-4", "web-6", "web-1"]
    assert eyes[0].endswith("lost            10 s  taken over in about 1.0 s")
    assert eyes[1].endswith("failed          50 s  timeout")
    assert eyes[3].endswith("waiting           1m  attempt 2/3 in 12 s: quota")


def test_it_stays_on_one_screen_and_says_how_many_more_there_are() -> None:
    rows = [
        row(number, "provision-failed", "failed", kind="timeout", step=f"step-{number % 50}", ended_at=f"{number}.0")
        for number in range(5000)
    ]

    lines = said(*rows)

    assert sum(line.count("\n") + 1 for line in lines) < 50
    assert "and 3800 failures at 38 other places" in lines
    assert lines[-1].startswith("and 4980 failed: `stepmark status --state failed --all`")
    assert [line.split()[0] for line in lines[-21:-1]] == [f"web-{number}" for number in range(4999, 4979, -1)]


def test_runs_that_nobody_can_take_are_counted() -> None:
    rows = [row(number, "provisioning", "queued", queue=("tools", "wait")[number % 2]) for number in range(5)]

    lines = said(*rows, around=Outlook(queues=frozenset({"wait"})))

    assert "no worker takes steps of `tools`: 3 wait; `stepmark worker list` says who lives" in lines
    assert not [line for line in lines if "`wait`" in line]
