"""The arrows between the packages: config <- tasks <- workers, and nothing the other way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import config

# Where the installed packages are, which need not be the checkout.
ROOT = Path(config.__file__).parents[1]
OURS = {"config": {"config"}, "tasks": {"config", "tasks"}, "workers": {"config", "tasks", "workers"}}
FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether it does so inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", id(node) in inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    found = {name.partition(".")[0] for name, _ in imports(path)}

    assert found & OURS.keys() <= OURS[layer]
    assert not [name for name, inside in imports(path) if inside]
    if layer != "workers":
        assert "redis" not in found


def test_only_adapters_start_processes() -> None:
    starters = {"subprocess", "pty", "multiprocessing"}
    found = {
        path.relative_to(ROOT).parts[1]
        for path in FILES
        if {name for name, _ in imports(path)} & starters and path.relative_to(ROOT).parts[:2] != ("tasks", "adapters")
    }

    assert found == set()
