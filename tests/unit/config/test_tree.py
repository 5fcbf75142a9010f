"""Files that are no fleet files at all, and what YAML's values are taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import tree
from config.errors import FleetFileError

DEEP = "is nested too deeply, or its anchors refer to each other without end"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 0, "is empty: `stepmark init` writes a commented example"),
        (b"# nothing yet\n", 0, "is empty: `stepmark init` writes a commented example"),
        (b"\n\xff\xfe", 2, "is not UTF-8 text"),
        (b"a: b\nc: \x00", 2, "has a character that YAML does not allow (U+0000): is it a text file?"),
        (b"\x7fELF\x02\x01", 1, "has a character that YAML does not allow (U+007F): is it a text file?"),
        (b"a: [b\n", 2, "is not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        (b"a: *b\n", 1, "is not YAML: found undefined alias 'b'"),
        (b"a: 1\n--- \nb: 2\n", 2, "is not YAML: expected a single document in the stream but found another document"),
        (
            b"a:\n\t- b\n",
            2,
            "is not YAML: while scanning for the next token found character '\\t' that cannot start any token",
        ),
        (b"a: &a [*a]\n", 1, DEEP),
        (BOMB.encode(), 1, DEEP),
        (b"[" * 100 + b"]" * 100, 1, DEEP),
        (b"[" * 100_000, 0, "is nested too deeply"),
        (b"#" * ((8 << 20) + 1), 0, "is larger than 8 MiB: is it a fleet file?"),
    ],
    ids=range(14),
)
def test_garbage(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(content)

    with pytest.raises(FleetFileError) as caught:
        tree.read(path)

    assert [(found.line, found.message) for found in caught.value.problems] == [(line, message)]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "cannot be read: No such file or directory"), ("", "cannot be read: Is a directory")],
)
def test_no_file(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(FleetFileError) as caught:
        tree.read(tmp_path / name)

    assert str(caught.value) == f"{tmp_path / name}: {message}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("22:22", "22:22"),
        ("0x10", "0x10"),
        ("010", 10),
        ("-7", -7),
        ("1_000", "1_000"),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".", "."),
        ("", None),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
        ("=", "="),
        ("é", "é"),
    ],
)
def test_values(tmp_path: Path, text: str, value: Any) -> None:
    """Words stay words and times stay times: only what looks like a number, true, false or nothing is one."""
    path = tmp_path / "fleet.yaml"
    path.write_text(f"a: {text}\n", encoding="utf-8")

    root, problems = tree.read(path)

    found = root.plain()["a"]
    assert (found, type(found), problems) == (value, type(value), [])


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: b\r\nc: d\r\n")

    assert tree.read(path)[0].plain() == {"a": "b", "c": "d"}


def test_anchors(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("a: &x [1, {b: 2}]\nc: *x\n", encoding="utf-8")

    assert tree.read(path)[0].plain() == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}
