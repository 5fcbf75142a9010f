from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import errors
from tasks.adapters import tofu_report
from tasks.adapters.process import Command
from tasks.facts import PlanSummary
from tests.unit.tasks.commands import Answer, Commands, session

CASES = Path(__file__).parents[4] / "tests" / "cases" / "tofu"


def case(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text())
    return {**value, "stdout": "\n".join(value["stdout"]), "stderr": "\n".join(value["stderr"])}


CHANGED = [
    ("Plan: 1 to add", "Plan: 1 to add"),
    ("\x1b[31mError: \x1b[0mbad", "Error: bad"),
    ("{not json", "{not json"),
]


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_what_opentofu_said(path: Path) -> None:
    """Each case is what the real program put out, or says that it was written by hand."""
    given = case(path)
    want = given["expect"]

    report = tofu_report.parse(given["stdout"], given["stderr"])

    read = {
        "changes": [report.changes.add, report.changes.change, report.changes.destroy] if report.changes else None,
        "destroys": list(report.destroys),
        "planned": list(report.planned),
        "plan_unusable": report.plan_unusable,
        "errors": bool(report.errors),
    }
    wanted = {
        "changes": want.get("changes"),
        "destroys": want.get("destroys", read["destroys"]),
        "planned": want.get("planned", read["planned"]),
        "plan_unusable": want.get("plan_unusable", False),
        "errors": given["exit_status"] == 1,
    }
    # A failed apply may have counted its plan before; that is not what the case is about.
    wanted["changes"] = wanted["changes"] or (read["changes"] if want["error"] else None)
    assert read == wanted


def test_there_are_cases() -> None:
    assert len(list(CASES.glob("*.json"))) >= 30


@pytest.mark.parametrize(("line", "text"), CHANGED)
def test_a_line_for_people_stays(line: str, text: str) -> None:
    assert tofu_report.readable(line) == text


def test_a_diagnostic_is_read_with_its_detail() -> None:
    line = json.dumps({"@message": "Error: No value", "diagnostic": {"severity": "error", "detail": "a\n\nb\n"}})

    assert tofu_report.readable(line) == "Error: No value\na\n\nb"


@pytest.mark.parametrize("separator", ["\x85", "\u2028"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    """JSON may hold the others as they are."""
    summary = f"no{separator}value"
    line = json.dumps({"diagnostic": {"severity": "error", "summary": summary}}, ensure_ascii=False)

    assert tofu_report.parse(f"{{}}\n{line}\r\n", "").errors == (tofu_report.Diagnostic(summary),)


@pytest.mark.parametrize("words", ["No space left on device", "read-only file system", "disk quota exceeded"])
def test_a_disk_that_takes_nothing_is_no_fault_of_the_state(words: str) -> None:
    """Though it is mostly a state or its lock that it does not take; what a host's own boot says is another matter."""
    said = tofu_report.Diagnostic("Failed to save state", f"write errored.tfstate: {words}")
    earlier = tofu_report.Diagnostic("Failed to load state", "it answered 507")
    of_the_host = tofu_report.Diagnostic("local-exec provisioner error", f"exit status 3. Output: {words}")

    assert tofu_report.kind(tofu_report.Report((earlier, said))) == (errors.FileSystemError, said)
    assert tofu_report.kind(tofu_report.Report((of_the_host,)))[0] is not errors.FileSystemError


def test_a_masked_line_that_is_no_json_any_more_is_shown_as_it_is() -> None:
    line = '{"@message":"x","token":***}'

    assert tofu_report.readable(line) == line


def test_the_last_count_is_the_one_that_counts() -> None:
    """A destroy counts twice: what it plans, then what it did."""
    lines = [
        json.dumps({"type": "change_summary", "changes": {"add": 0, "change": 0, "remove": remove, "operation": word}})
        for remove, word in ((2, "plan"), (1, "destroy"))
    ]

    assert tofu_report.parse("\n".join(lines), "").changes == PlanSummary(add=0, change=0, destroy=1)


def test_the_script_answers_by_the_longest_start() -> None:
    """The stand-in that the other tests trust."""
    commands = Commands()
    commands.script = {"tofu": Answer("a"), "tofu plan": [Answer("b", exit_status=2), Answer("c")]}

    asked = [Command(("/bin/tofu", word), Path("/")) for word in ("plan", "plan", "init")]
    answers = [(done.stdout, done.exit_status) for done in (commands.run(one, session()) for one in asked)]

    assert (answers, commands.texts) == ([("b", 2), ("c", 0), ("a", 0)], ["tofu plan", "tofu plan", "tofu init"])
