from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import errors
from tasks.adapters import ansible_events
from tasks.adapters.ansible_events import Event
from tasks.adapters.process import Command, Completed, Redactor

CASES = sorted((Path(__file__).parents[3] / "cases" / "ansible").glob("*.json"))
SIGNALS = [(-9, 9), (99, 2), (137, 9), (143, 15)]


def completed(exit_status: int, stderr: str = "") -> Completed:
    return Completed(Command(("ansible-playbook", "a b.yml"), Path("/")), exit_status, "", stderr, "the tail", 1.0)


def events_of(case: dict[str, Any], path: Path) -> tuple[Event, ...]:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in case["events"]))
    return ansible_events.read(path)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_a_play_ended_with(path: Path, tmp_path: Path) -> None:
    """Each case was taken from a real play, by the version of ansible-core that it names."""
    case = json.loads(path.read_text())
    found = ansible_events.problem(
        events_of(case, tmp_path / "events"), completed(case["exit_status"], case["stderr"]), Redactor()
    )

    if "error" in case["ends"]:
        assert found is not None
        assert {"error": type(found).__name__, "kind": found.kind, "summary": str(found)} == case["ends"]
    else:
        assert found is None


def test_the_cases_are_there() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(("exit_status", "number"), SIGNALS)
def test_a_signal_ended_it(exit_status: int, number: int) -> None:
    """What an event says of a task then is an effect, not the cause."""
    events = (Event(event="failed", name="Install ufw", msg="Interrupted system call"),)

    found = ansible_events.problem(events, completed(exit_status), Redactor())

    assert found is not None
    assert found.args == (
        f"ansible-playbook was ended by signal {number}",
        "ansible-playbook 'a b.yml'",
        exit_status,
        "the tail",
    )
    assert found.kind is errors.Kind.COMMAND_EXECUTION


def test_the_last_failure_counts() -> None:
    """Those before it were rescued, or ignored."""
    events = (
        Event(event="failed", name="Tried", msg="rescued"),
        Event(event="failed", name="Broken", msg="broken"),
        Event(event="failed", name="Cleaned", msg="ignored", ignored=True),
    )

    assert str(ansible_events.problem(events, completed(2), Redactor())) == "task 'Broken' failed: broken"


def test_an_unreachable_host_without_a_reason_is_no_failed_command() -> None:
    events = (Event(event="unreachable", name="Gathering Facts", msg="Task failed: something new"),)

    found = ansible_events.problem(events, completed(4), Redactor())

    assert type(found) is errors.NetworkError
    assert str(found) == "the host cannot be reached: command-failed: something new"


def test_a_summary_is_one_short_line_without_secrets() -> None:
    redactor = Redactor()
    redactor.add("hunter22")
    events = (Event(event="failed", name="Log in", msg=f"line one\nhunter22 {'x' * 1000}"),)

    summary = str(ansible_events.problem(events, completed(2), redactor))

    assert summary.startswith("task 'Log in' failed: line one *** xxx")
    assert len(summary) == ansible_events.SUMMARY_CHARACTERS


def test_no_file_is_no_event(tmp_path: Path) -> None:
    assert ansible_events.read(tmp_path / "events") == ()


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b'{"event": "ok", "name": "Ping", "later": 1}\n{"event": "ok", "na\xc3')

    assert ansible_events.read(path) == (Event(event="ok", name="Ping"),)
