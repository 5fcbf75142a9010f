"""A YAML file as a tree that knows where in the file each value was written; values as in YAML 1.2 (`no` is a word)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from config.errors import FleetFileError, FleetFileUnreadError, Problem

# Anchors can make a small file expand without end.
_LARGEST_BYTES: Final = 8 << 20
_MOST_NODES: Final = 200_000
_DEEPEST: Final = 20
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Place:
    """Where something is written: line and column from 1 (0: nowhere in particular), and the path of its key."""

    file: str
    line: int = 0
    column: int = 0
    path: str = ""

    def problem(self, message: str) -> Problem:
        """`message` about what is here."""
        return Problem(self.file, self.line, self.column, self.path, message)

    def at(self, mark: yaml.Mark | None) -> Place:
        """The same path, at the line and column of `mark`."""
        return Place(self.file, mark.line + 1, mark.column + 1, self.path) if mark else self

    def under(self, key: str | int) -> Place:
        """The same line and column, with `key` added to the path."""
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else key
        return Place(self.file, self.line, self.column, self.path + step)


@dataclass(frozen=True)
class Node:
    """A value and the place of its key (of itself, if it stands in a list)."""

    place: Place
    value: dict[str, Node] | tuple[Node, ...] | str | int | float | bool | None

    def plain(self) -> Any:
        """The value alone."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def children(self) -> dict[str, Node]:
        """What stands below it by key; nothing if it is no mapping."""
        return self.value if isinstance(self.value, dict) else {}

    def child(self, key: str | int) -> Node | None:
        """What stands below it at `key`, or at that index."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, tuple) and str(key).isdecimal() and int(key) < len(self.value):
            return self.value[int(key)]
        return None


def merge(base: Node, over: Node) -> Node:
    """`over` laid upon `base`: mappings are merged key by key, anything else is replaced. Places stay where written."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(over.place, merged)


def read(path: Path) -> tuple[Node, list[Problem]]:
    """The tree of a file, and what we refuse in it and leave out: keys given twice or that are no text, `<<`, tags.

    Raises:
        FleetFileError: it cannot be read, is no YAML, or is nested without end.
    """
    place = Place(str(path))
    try:
        root = _compose(_text(path, place), place)
        builder = _Builder()
        tree = builder.build(root, place.at(root.start_mark), 0)
    except yaml.MarkedYAMLError as error:
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise FleetFileError([place.at(error.problem_mark).problem(f"is not YAML: {message}")]) from None
    except RecursionError:
        raise FleetFileError([place.problem("is nested too deeply")]) from None
    return tree, builder.problems


def _text(path: Path, place: Place) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise FleetFileUnreadError([place.problem(f"cannot be read: {error.strerror}")]) from error
    if len(content) > _LARGEST_BYTES:
        raise FleetFileError([place.problem(f"is larger than {_LARGEST_BYTES >> 20} MiB: is it a fleet file?")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FleetFileError([replace(place, line=line, column=1).problem("is not UTF-8 text")]) from None


def _compose(text: str, place: Place) -> yaml.Node:
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"has a character that YAML does not allow (U+{ord(text[error.position]):04X}): is it a text file?"
        raise FleetFileError([replace(place, line=line, column=1).problem(message)]) from None
    root = loader.get_single_node()
    if root is None:
        raise FleetFileError([place.problem("is empty: `stepmark init` writes a commented example")])
    return root


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


class _Loader(yaml.SafeLoader):
    """Composes nodes; its implicit types are those of YAML 1.2's core schema, less infinity and not-a-number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own name


_SCALARS: Final[dict[str, tuple[str, str, Callable[[str], str | int | float | bool | None]]]] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda _: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]{1,18}", "-+0123456789", int),
    "float": (r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,2})?", "-+.0123456789", float),
    "str": (r"(?!)", "", str),
}
for _name, (_pattern, _first, _) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^(?:{_pattern})\Z"), [*_first, ""] if _name == "null" else [*_first]
    )


class _Builder:
    """Makes nodes of ours out of PyYAML's, and collects what we refuse."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._nodes = 0

    def build(self, node: yaml.Node, place: Place, depth: int) -> Node:
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            message = "is nested too deeply, or its anchors refer to each other without end"
            raise FleetFileError([*self.problems, place.problem(message)])
        if node.tag.removeprefix(_TAG) not in (*_SCALARS, "map", "seq"):
            self.problems.append(place.problem(f"has the YAML tag {node.tag}: remove it"))
        if isinstance(node, yaml.MappingNode):
            return Node(place, dict(self._entries(node, place, depth)))
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return Node(
                place, tuple(self.build(item, place.under(i).at(item.start_mark), depth + 1) for i, item in items)
            )
        return Node(place, self._scalar(node.tag.removeprefix(_TAG), node.value, place))

    def _scalar(self, tag: str, text: str, place: Place) -> str | int | float | bool | None:
        try:
            if _encodable(text):
                return _SCALARS[tag][2](text) if tag in _SCALARS else text
        except ValueError:
            pass
        self.problems.append(place.problem(f"cannot be used as {tag}"))
        return ""

    def _entries(self, node: yaml.MappingNode, place: Place, depth: int) -> Iterator[tuple[str, Node]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            here = place.at(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_TAG}str":
                self.problems.append(here.problem("has a key that is not text: put the key in quotes"))
                continue
            key = key_node.value
            child = here.under(key)
            if key == "<<":
                self.problems.append(
                    child.problem("`<<` is not supported: put what is shared in `defaults` or in a group")
                )
            elif not _encodable(key):
                self.problems.append(here.problem("has a key with half a character in it"))
            elif key in seen:
                self.problems.append(child.problem(f"is given twice, first on line {seen[key]}: remove one"))
            else:
                seen[key] = child.line
                yield key, self.build(value_node, child, depth + 1)
