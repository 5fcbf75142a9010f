"""Read what OpenTofu says: https://opentofu.org/docs/internals/machine-readable-ui/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks import errors
from tasks.facts import PlanSummary

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_DISK = re.compile(r"no space left on device|read-only file system|disk quota exceeded", re.IGNORECASE)
_STATE = re.compile(
    r"error acquiring the state lock|error releasing the state lock|HTTP remote state"
    r"|error (loading|saving|refreshing) state|failed to (load|get|save|persist|upload|write|refresh) state"
    r"|failed to lock",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"quota|limit[ _]exceeded|limit (was |is |has been )?reached|rate[ _-]?limit|too many requests|\b429\b",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    r"\bunauthori[sz]ed\b|\bunauthenticated\b|\bforbidden\b|not authorized|authentication failed"
    r"|invalid (api )?(token|credentials)|token .{0,40}invalid|\b(HTTP|status|status code:?|code) 40[13]\b",
    re.IGNORECASE,
)
# The disk first: when it is full, it is mostly a lock or a state that does not fit.
_LOCAL = {_DISK: errors.FileSystemError, _STATE: errors.StateError}
_PROVISIONER = re.compile(r"provisioner error", re.IGNORECASE)
_NOT_THE_PROVIDER = re.compile(r"provisioner error|provider packages|install provider", re.IGNORECASE)
_OVERTAKEN = re.compile(r"cannot (import|overwrite existing) state with (serial|lineage)")
_UNUSABLE_PLAN = re.compile(
    r"Saved plan is stale|Saved plan does not match|as a plan file|Incompatible plan file|incomplete plan"
)

_NO_CHANGE = frozenset({"noop", "read"})
_SEEN = {"delete": " (it is gone)", "update": " (it was changed outside)"}


@dataclass(frozen=True)
class Diagnostic:
    """One error. `detail` may be empty."""

    summary: str
    detail: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.summary}\n{self.detail}"

    @property
    def line(self) -> str:
        """The summary and the first line of the detail, as one line."""
        first = self.detail.strip().partition("\n")[0].strip()
        return f"{self.summary}: {first}" if first else self.summary


@dataclass(frozen=True)
class Report:
    """What one command said. destroys: addresses that the plan ends, half-made (tainted) resources not counted.

    changes: the last count it gave, planned or done; None: it gave none. planned: what the plan does, `ADDRESS: ACTION`
    each, and whether that one was changed, or is gone, since it was made.
    """

    errors: tuple[Diagnostic, ...] = ()
    changes: PlanSummary | None = None
    destroys: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()

    @property
    def plan_unusable(self) -> bool:
        """The saved plan was made for another state, or cannot be read by this version."""
        return any(_UNUSABLE_PLAN.search(error.summary) for error in self.errors)

    @property
    def overtaken(self) -> bool:
        """The state that was to be pushed is older than the one there, or is another one's."""
        return any(_OVERTAKEN.search(error.text) for error in self.errors)


def parse(stdout: str, stderr: str) -> Report:
    """Read both streams: JSON lines (`plan -json`), a JSON document (`validate -json`), or text for people.

    {"@message":"Plan: 1 to add…","changes":{"add":1,"change":0,"remove":0,"operation":"plan"},"type":"change_summary"}
    """
    found = list(_values(stdout))
    counted = [value["changes"] for value in found if value.get("type") == "change_summary"]
    return Report(
        errors=(*_diagnostics(found), *_spoken(stderr)),
        changes=_counts(counted[-1]) if counted else None,
        destroys=tuple(sorted(address for value in found for address in _ended(value))),
        planned=tuple(sorted(_planned(found))),
    )


def readable(line: str) -> str:
    """A line of output as people read it: the message of a JSON line, with a diagnostic's detail; others as they are.

    {"@level":"error","@message":"Error: No value","diagnostic":{"severity":"error","detail":"…"},"type":"diagnostic"}
    """
    value = _object(line)
    if value is None or "@message" not in value:
        return _ANSI.sub("", line)
    detail = str(value.get("diagnostic", {}).get("detail", "")).strip()
    return f"{value['@message']}\n{detail}" if detail else str(value["@message"])


def kind(report: Report) -> tuple[type[errors.ToolError], Diagnostic | None]:
    """Which error a failed command is, and the diagnostic that says so; None: it said nothing."""
    for pattern, error in _LOCAL.items():
        for diagnostic in report.errors:
            if pattern.search(diagnostic.text) and not _PROVISIONER.search(diagnostic.summary):
                return error, diagnostic
    for diagnostic in report.errors:
        text = diagnostic.text
        if _NOT_THE_PROVIDER.search(diagnostic.summary):
            continue
        if _QUOTA.search(text):
            return errors.QuotaError, diagnostic
        if _CREDENTIAL.search(text):
            return errors.AuthenticationError, diagnostic
    return errors.InfrastructureError, next(iter(report.errors), None)


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _values(stdout: str) -> Iterator[dict[str, Any]]:
    document = _object(stdout)
    # Not splitlines(): JSON may hold U+0085, U+2028 and their like as they are.
    lines = stdout.split("\n") if document is None else [stdout]
    for line in lines:
        value = _object(line)
        if value is not None:
            yield value


def _diagnostics(values: list[dict[str, Any]]) -> Iterator[Diagnostic]:
    for value in values:
        given = [value["diagnostic"]] if "diagnostic" in value else value.get("diagnostics", [])
        for one in given:
            if isinstance(one, dict) and one.get("severity") == "error":
                yield Diagnostic(str(one["summary"]), str(one.get("detail", "")))


def _spoken(stderr: str) -> Iterator[Diagnostic]:
    """`Error: SUMMARY`, an empty line, the detail; in a box where there is colour."""
    text = "\n".join(_ANSI.sub("", line).lstrip("╷│╵ ").rstrip() for line in stderr.split("\n"))
    starts = re.split(r"^Error: ", text, flags=re.MULTILINE)
    for block in starts[1:]:
        summary, _, detail = block.partition("\n\n")
        yield Diagnostic(" ".join(summary.split()), detail.strip())
    if len(starts) == 1 and text.strip():
        yield Diagnostic(text.strip().rpartition("\n")[2])


def _counts(changes: Mapping[str, Any]) -> PlanSummary:
    return PlanSummary(add=changes["add"], change=changes["change"], destroy=changes["remove"])


def _ended(value: Mapping[str, Any]) -> Iterator[str]:
    change = value.get("change")
    if value.get("type") != "planned_change" or not isinstance(change, dict):
        return
    if change.get("action") in {"delete", "replace"} and change.get("reason") != "tainted":
        yield str(change["resource"]["addr"])


def _planned(values: list[dict[str, Any]]) -> Iterator[str]:
    """What the plan does, and what the refresh before it has seen.

    {"type":"resource_drift","change":{"resource":{"addr":"hcloud_server.host"},"action":"delete"}}
    {"type":"planned_change","change":{"resource":{"addr":"hcloud_server.host"},"action":"create"}}
    """
    seen = dict(_changes(values, "resource_drift"))
    for address, action in _changes(values, "planned_change"):
        if action not in _NO_CHANGE:
            yield f"{address}: {action}{_SEEN.get(seen.get(address, ''), '')}"


def _changes(values: list[dict[str, Any]], type_: str) -> Iterator[tuple[str, str]]:
    for value in values:
        change = value.get("change")
        if value.get("type") == type_ and isinstance(change, dict):
            yield str(change["resource"]["addr"]), str(change.get("action"))
