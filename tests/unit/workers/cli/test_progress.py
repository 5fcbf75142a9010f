"""What is shown while runs go on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tasks.failure import RunStatus
from tests.unit.workers.cli.test_outcomes import failed, run
from workers.cli import progress, words
from workers.cli.outlook import Outlook
from workers.cli.progress import Lines, LiveTable, View

EVENT = {
    "at": "43201.5",
    "run": "r1",
    "environment": "web-1",
    "workflow": "provision",
    "index": "2",
    "total": "9",
    "step": "opentofu-init",
    "attempt": "1",
}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"event": "launched", "user": "me@here"}, "provision: launched by me@here"),
        ({"event": "resumed", "user": "me@here"}, "provision 2/9 opentofu-init: resumed by me@here"),
        (
            {"event": "resumed", "user": "me@here", "trigger": "skip by me@here"},
            "provision 2/9 opentofu-init: its step is left out by me@here",
        ),
        (
            {"event": "step-started", "worker": "w1", "attempt": "4", "left_out": "skipped by me@here: why"},
            "provision 2/9 opentofu-init: is left out",
        ),
        ({"event": "step-started", "worker": "w1"}, "provision 2/9 opentofu-init: started on w1"),
        (
            {"event": "step-started", "worker": "w1", "attempt": "2"},
            "provision 2/9 opentofu-init: started on w1, attempt 2",
        ),
        (
            {"event": "step-ended", "ending": "not-possible", "seconds": "2.04", "note": "[no] systemd"},
            "provision 2/9 opentofu-init: not-possible in 2.0 s: [no] systemd",
        ),
        (
            {"event": "step-ended", "ending": "done", "seconds": "75", "note": ""},
            "provision 2/9 opentofu-init: done in 1m",
        ),
        ({"event": "run-ended", "state": "configured", "partial": "1"}, "provision: succeeded, configured (partial)"),
        (
            {"event": "run-failed", "kind": "timeout", "summary": "too slow"},
            "provision 2/9 opentofu-init: failed, timeout: too slow",
        ),
        (
            {"event": "run-failed", "kind": "cancelled", "summary": "cancelled by me: late", "status": "cancelled"},
            "provision 2/9 opentofu-init: cancelled by me: late",
        ),
        (
            {"event": "step-failed", "kind": "quota", "summary": "too many calls", "retry_at": "43213.5"},
            "provision 2/9 opentofu-init: failed, quota: too many calls; tried again in 12 s",
        ),
        ({"event": "retry"}, "provision 2/9 opentofu-init: its time has come to be tried again"),
        (
            {"event": "taken-over", "worker": "w1"},
            "provision 2/9 opentofu-init: taken over: worker w1 is not heard of any more",
        ),
        (
            {"event": "handed-over", "worker": "w1"},
            "provision 2/9 opentofu-init: handed over by worker w1, which stops",
        ),
        ({"event": "sent-again"}, "provision 2/9 opentofu-init: sent again: no worker has its message"),
        (
            {"event": "cancel-asked", "user": "me", "reason": ""},
            "provision 2/9 opentofu-init: to be cancelled by me: no reason given",
        ),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_line(fields: dict[str, str], text: str) -> None:
    assert progress.line(EVENT | fields) == f"12:00:01 web-1 {text}"


def test_lines_warn_once() -> None:
    shown = io.StringIO()
    with Lines(Console(file=shown, width=200)) as lines:
        for _ in range(2):
            lines.tell([EVENT | {"event": "launched", "user": "me"}])
            lines.show(View([], Outlook(), 200.0, "no worker"))

    assert shown.getvalue().splitlines() == [
        "12:00:01 web-1 provision: launched by me",
        "no worker",
        "12:00:01 web-1 provision: launched by me",
    ]


def test_the_table_shows_what_needs_a_look_first_and_counts_the_rest() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=120, height=9, force_terminal=True, color_system=None)
    records = [run(RunStatus.QUEUED, environment=f"web-{number}", due_at=20.0) for number in range(10)]
    records.append(failed())
    records.append(run(RunStatus.RUNNING, environment="slow", step_started_at=195.0, lease_until=300.0))
    view = View(records, Outlook(), 200.0, "is a worker running?")
    with LiveTable(console) as table:
        table.show(view)
        console.print(table._draw(view))

    text = shown.getvalue()
    rows = [line.split() for line in text.splitlines() if line.startswith(("web", "slow"))]
    assert [row[0] for row in rows[:3]] == ["web-1", "slow", "web-0"]
    assert "12 runs: 10 queued, 1 failed, 1 running" in text
    assert "and 9 queued" in text
    assert "is a worker running?" in text
    assert "queued 3m" in text


def test_a_thousand_runs_take_no_more_room_than_the_terminal_has() -> None:
    """Of those that failed the latest are seen."""
    console = Console(file=io.StringIO(), width=120, height=24, force_terminal=True, color_system=None)
    records = [failed().model_copy(update={"environment": f"web-{at}", "ended_at": float(at)}) for at in range(1000)]
    view = View(records, Outlook(), 2000.0, "is a worker running?")
    with LiveTable(console) as table:
        lines = console.render_lines(table._draw(view), pad=False)

    assert len(lines) <= 24
    assert "".join(segment.text for segment in lines[2]).startswith("web-999 ")


def test_what_happens_is_seen_at_once_and_drawing_takes_a_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    pace = progress.Pace()
    assert pace.left_seconds <= 0
    with pace.drawing():
        clock[0] += 0.2

    still = pace.left_seconds
    pace.stale = True

    assert (still, pace.left_seconds) == (pytest.approx(0.5), pytest.approx(0.2))
    clock[0] += 0.21
    assert pace.left_seconds <= 0
    with pace.drawing():
        pass
    pace.stale = True
    assert pace.left_seconds == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (12.4, "12 s"),
        (61, "1m"),
        (3605, "1h"),
        (7500, "2h 5m"),
        (90000, "1d 1h"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert words.span(seconds) == text
