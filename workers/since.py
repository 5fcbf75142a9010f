"""Since: what has changed since a run was launched: what is declared, and the templates of this installation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from config.fleet import EnvironmentSpec
from tasks.facts import Facts
from tasks.providers import registry
from tasks.steps import root

TAKEN_BY_A_STEP = "counts only from the step that takes it on"
_SELECTS = "only selects"
_AT_ONCE = "counts at once"
# The first that fits; the rest is for the playbooks.
_EFFECTS = (
    ("parameters.timeouts", _AT_ONCE),
    ("parameters.cloud_init", TAKEN_BY_A_STEP),
    ("provider", TAKEN_BY_A_STEP),
    ("ssh", "counts at the next login; the host itself keeps its user and port"),
    ("labels", _SELECTS),
    ("groups", _SELECTS),
)
_PLAYBOOKS = "counts in the playbooks that run"


class Change(NamedTuple):
    """A declared value that differs. field: its path. effect: what the run does about it, if it takes the new value."""

    field: str
    old: Any
    new: Any
    effect: str


def declared(old: EnvironmentSpec, new: EnvironmentSpec) -> tuple[Change, ...]:
    """What differs between two declarations of an environment. Secrets are references here, as everywhere."""
    secrets = {f"provider.{name}" for name in registry.get(new).secrets(new)}  # resolved by each command
    before, after = dict(_leaves(old.model_dump(mode="json"))), dict(_leaves(new.model_dump(mode="json")))
    return tuple(
        Change(field, before.get(field), after.get(field), _AT_ONCE if field in secrets else _effect(field))
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    )


def templates_changed(facts: Facts, environment: EnvironmentSpec) -> bool | None:
    """Whether the templates differ from those that the host's files were rendered from. None: nobody can tell here."""
    if facts.templates_digest is None:
        return None if facts.tofu_digest else False
    try:
        return root.templates_digest(environment) != facts.templates_digest
    except OSError:
        return None


def _effect(field: str) -> str:
    return next((effect for start, effect in _EFFECTS if field.startswith(start)), _PLAYBOOKS)


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        if isinstance(each, Mapping):
            yield from _leaves(each, f"{path}{name}.")
        else:
            yield f"{path}{name}", each
