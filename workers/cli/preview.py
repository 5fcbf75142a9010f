"""How previews are shown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import yaml
from rich.markup import escape

from workers import since
from workers.cli import output, words
from workers.cli.reports import Exit
from workers.preview import Ahead, Preview
from workers.since import Change


def show(previews: Sequence[Preview], *, as_json: bool) -> int:
    """Print them; gives the exit status."""
    refused = sum(bool(each.refused) for each in previews)
    status = Exit.OK if not refused else Exit.REFUSED if refused == len(previews) else Exit.PARTLY
    if as_json:
        output.emit({"previews": [_shape(each) for each in previews], "exit_status": int(status)})
        return status
    for each in previews:
        for line in _lines(each):
            output.out().print(escape(line), soft_wrap=True)
    return status


def changes(preview: Preview) -> str:
    """What has changed since the run was launched, in one line; empty: nothing."""
    fields: dict[str, list[str]] = {}
    for change in preview.changes:
        fields.setdefault(_taken(preview, change) or "taken", []).append(change.field)
    said = [f"declared otherwise now ({taken}): {', '.join(names)}" for taken, names in fields.items()]
    if templates := _templates(preview):
        said.append(templates)
    return "; ".join(said)


def _taken(preview: Preview, change: Change) -> str:
    """Who takes the change, and why nobody does; empty: the run does, with --fleet, and it has."""
    by_a_step = change.effect == since.TAKEN_BY_A_STEP
    if by_a_step and not preview.taker:
        return "no step of this run takes it"
    if by_a_step and not preview.takes:
        again = f"stepmark retry {preview.environment} --from {preview.taker} --fleet FILE"
        return f"not taken: `{again}` takes it"
    if not preview.used:
        return "not taken: give --fleet"
    plan = "; the plan says what it changes" if preview.renderer else ""
    return f"{preview.taker} takes it{plan}" if by_a_step else ""


def _yaml(value: Any) -> str:
    """A declared value as a fleet file has it."""
    if value is None:
        return "unset"
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    text = yaml.safe_dump(whole, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _templates(preview: Preview) -> str:
    if preview.rendered or preview.templates_changed is not True:
        return ""
    from_there = f"`stepmark retry {preview.environment} --from {preview.renderer}`"
    again = from_there if preview.renderer else "`stepmark provision`"
    return f"the templates have changed: what was rendered before is used, unless you {again}"


def _lines(preview: Preview) -> list[str]:
    lines = [f"{preview.environment}: run {preview.run}, epoch {preview.epoch}"]
    if preview.refused:
        return [*lines, f"  refused: {preview.refused}"]
    lines += [f"  {_step(step)}" for step in preview.steps]
    lines.append(f"  expected: {_expected(preview)}")
    lines += [f"  in doubt: {doubt}" for doubt in preview.doubts]
    for change in preview.changes:
        taken = _taken(preview, change) or change.effect
        lines.append(f"  declared: {change.field}: {_yaml(change.old)} -> {_yaml(change.new)} ({taken})")
    if preview.templates_changed is None:
        lines.append("  templates: nobody can tell here whether they have changed")
    elif templates := _templates(preview):
        lines.append(f"  templates: {templates}")
    if preview.held_seconds:
        lines.append(f"  held: for {words.span(preview.held_seconds)}: its last worker's tools may still be ending")
    return lines


def _step(step: Ahead) -> str:
    place = f"{step.workflow} {step.index} {step.step}"
    if not step.runs:
        return f"{place:<46} kept: {step.why}"
    seconds = "unknown" if step.seconds is None else words.span(step.seconds)
    attempt = f", attempt {step.attempt}" if step.attempt > 1 else ""
    return f"{place:<46} runs{attempt}, {seconds}: {step.why}"


def _expected(preview: Preview) -> str:
    if not preview.unknown:
        return words.span(preview.seconds)
    known = f"{words.span(preview.seconds)} and " if preview.seconds else ""
    return f"{known}unknown for {', '.join(preview.unknown)}"


def _shape(preview: Preview) -> dict[str, Any]:
    kept = dataclasses.asdict(preview)
    kept["changes"] = [change._asdict() for change in preview.changes]
    return kept | {"expected_seconds": round(preview.seconds, 1), "unknown": list(preview.unknown)}
