"""`doctor`."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from config import settings as settings_module
from workers import celery
from workers import doctor as checks
from workers.checks import Check, Verdict
from workers.cli import chosen, options, output
from workers.cli.reports import Exit

_MARKS = {Verdict.OK: "[green]ok[/]", Verdict.LIMITED: "[yellow]limited[/]", Verdict.MISSING: "[red]missing[/]"}


def doctor(fleet: options.FleetFile = None, as_json: options.Json = False) -> int:
    """Say what is installed, reachable and missing on this machine, what the workers lack, and how to get it.

    Example: stepmark doctor fleet.yaml
    """
    file = fleet or chosen.default_fleet()
    declared = chosen.load(file) if fleet or file.expanduser().exists() else None
    found = checks.examine(settings_module.load(), celery.app, declared)
    well = all(check.verdict is not Verdict.MISSING for check in found)
    if as_json:
        output.emit({"ok": well, "checks": [asdict(check) for check in found]})
    else:
        for check in found:
            _print(check)
    return Exit.OK if well else Exit.FAILED


def _print(check: Check) -> None:
    mark = _MARKS[check.verdict] + " " * (8 - len(check.verdict))
    console = output.out()
    console.print(f"{mark}{check.name:<18} {escape(check.detail)}", soft_wrap=True)
    if check.advice:
        console.print(f"{'':<27}{escape(check.advice)}", soft_wrap=True, style="dim")
