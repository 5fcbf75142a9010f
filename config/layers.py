"""Defaults, then groups in order, then the environment's own: what an environment is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config import tree
from config.errors import FleetFileError, Problem
from config.names import Name
from config.problems import Checker, suggest
from config.tree import Node

SECTIONS = ("defaults", "groups", "environments", "schedules", "rollout")
LAYER_KEYS = ("provider", "ssh", "labels", "parameters")


@dataclass(frozen=True)
class Layers:
    """A fleet file taken apart.

    environments: each with everything it inherits laid under it. partial: what inherits cannot be seen in full:
    the defaults, and each group laid upon them. schedules, rollout: as written.
    """

    environments: tuple[Node, ...]
    partial: tuple[Node, ...]
    schedules: tuple[Node, ...]
    rollout: Node


class Splitter:
    """Takes a fleet file apart, and collects the problems that its outline has."""

    def __init__(self, root: Node) -> None:
        self.problems: list[Problem] = []
        self._root = root

    def split(self) -> Layers:
        """The layers, without the parts that cannot be used.

        Raises:
            FleetFileError: it is no mapping at all.
        """
        if not isinstance(self._root.value, dict):
            message = (
                f"must be a mapping with the keys {', '.join(SECTIONS)}: `stepmark init` writes a commented example"
            )
            raise FleetFileError([self._root.place.problem(message)])
        self._only(self._root, SECTIONS)
        defaults = self._layer(self._root.child("defaults") or Node(self._root.place, {}))
        groups = self._groups(defaults)
        environments = self._list("environments")
        if not environments and not self.problems:
            self.problems.append(self._root.place.under("environments").problem("declares nothing: add an environment"))
        laid = tuple(self._inherit(environment, defaults, groups) for environment in environments)
        self._unique("environment", environments)
        schedules = self._list("schedules")
        self._unique("schedule", schedules)
        partial = (defaults, *(_lay(defaults, group) for group in groups.values()))
        return Layers(laid, partial, schedules, self._root.child("rollout") or Node(self._root.place, {}))

    def _groups(self, defaults: Node) -> dict[str, Node]:
        section = self._root.child("groups") or Node(defaults.place, {})
        self.problems += Checker[Any](dict[Name, dict[str, Any]]).make(section)[1]
        return {name: self._layer(node) for name, node in section.children().items() if isinstance(node.value, dict)}

    def _layer(self, node: Node) -> Node:
        if isinstance(node.value, dict):
            return self._only(node, LAYER_KEYS)
        self.problems += Checker[Any](dict[str, Any]).make(node)[1]
        return Node(node.place, {})

    def _only(self, node: Node, known: tuple[str, ...]) -> Node:
        for key, child in node.children().items():
            if key not in known:
                self.problems.append(child.place.problem(f"is not a known key{suggest(key, known)}"))
        return Node(node.place, {key: child for key, child in node.children().items() if key in known})

    def _list(self, section: str) -> tuple[Node, ...]:
        node = self._root.child(section)
        if node is None:
            return ()
        if not isinstance(node.value, tuple):
            self.problems.append(node.place.problem("must be a list: a `- name: …` for each"))
            return ()
        return node.value

    def _inherit(self, environment: Node, defaults: Node, groups: dict[str, Node]) -> Node:
        listed = environment.child("groups")
        laid = defaults
        for item in listed.value if listed and isinstance(listed.value, tuple) else ():
            if isinstance(item.value, str) and item.value in groups:
                laid = _lay(laid, groups[item.value])
            elif isinstance(item.value, str):
                self.problems.append(item.place.problem(f"is no group of this file{suggest(item.value, groups)}"))
        return _lay(laid, environment)

    def _unique(self, what: str, nodes: tuple[Node, ...]) -> None:
        seen: dict[str, int] = {}
        for node in nodes:
            name = node.child("name")
            if name is None or not isinstance(name.value, str):
                continue
            if name.value in seen:
                message = f"is the name of another {what} on line {seen[name.value]}: choose another"
                self.problems.append(name.place.problem(message))
            seen.setdefault(name.value, name.place.line)


def _lay(base: Node, over: Node) -> Node:
    """`over` upon `base`; if it names another provider, nothing of the former one's settings stays."""
    former, named = (node.child("provider") for node in (base, over))
    name = named.child("name") if named else None
    if former and name and (not (old := former.child("name")) or old.value != name.value):
        base = Node(base.place, {key: node for key, node in base.children().items() if key != "provider"})
    return tree.merge(base, over)
