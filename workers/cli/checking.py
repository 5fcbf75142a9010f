"""Checking: the workers are asked, before anything is launched, whether they have what the launch needs."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape

from tasks.equipment import Item
from workers import celery, readiness
from workers.cli import output
from workers.cli.enqueue import Start
from workers.readiness import Readiness
from workers.rolloutrecord import Outcome
from workers.runtime import Base


def guarded(base: Base, starts: Mapping[str, Start], wanted: Mapping[str, frozenset[Item]]) -> dict[str, Start]:
    """The same starts; those whose workers lack something are refused. What could not be found out is a warning."""
    found = _ask(base, wanted)
    return {name: _guarded(start, wanted[name], found) for name, start in starts.items()}


def lacking(base: Base, wanted: Mapping[str, frozenset[Item]]) -> dict[str, Outcome]:
    """Those whose workers lack something, and what. What could not be found out is a warning."""
    return _ask(base, wanted).left_out(wanted)


def _ask(base: Base, wanted: Mapping[str, frozenset[Item]]) -> Readiness:
    found = readiness.ask(base, celery.app, frozenset().union(*wanted.values()))
    for warning in found.warnings():
        output.err().print(f"warning: {escape(warning)}", soft_wrap=True)
    return found


def _guarded(start: Start, wanted: frozenset[Item], found: Readiness) -> Start:
    def checked() -> str:
        found.demand(wanted)
        return start()

    return checked
