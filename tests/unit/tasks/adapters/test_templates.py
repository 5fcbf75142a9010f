from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.adapters import templates

TEXT = st.text() | st.sampled_from(
    ["${name}", "%{ if true }", "$${", "'; rm -rf / #", '"\n- evil: true', "{{ 1 }}", "null", "012", "é", "\u2028", "#"]
)
VALUE = st.recursive(
    TEXT | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def rendered(tmp_path: Path, text: str, **values: object) -> str:
    path = tmp_path / "a.j2"
    path.write_text(text)
    return templates.render(path, values)


def in_memory(text: str, value: object) -> str:
    return templates._ENVIRONMENT.from_string(text).render(value=value)


@given(VALUE)
def test_any_value_comes_back_from_yaml_in_a_template(value: object) -> None:
    text = in_memory("a: {{ value | yaml }}\nb: [{{ value | yaml }}, 1]\nc: last\n", value)

    assert yaml.safe_load(text) == {"a": value, "b": [value, 1], "c": "last"}


@given(VALUE)
def test_any_value_comes_back_from_a_yaml_document(value: object) -> None:
    text = templates.to_yaml({"value": value, "last": 1})

    assert (yaml.safe_load(text), text.isascii()) == ({"value": value, "last": 1}, True)


@given(VALUE)
def test_any_value_comes_back_from_json(value: object) -> None:
    texts = (templates.to_json({"value": value}), in_memory('{"value": {{ value | json }}}', value))

    assert [json.loads(text) for text in texts] == [{"value": value}] * 2


@given(TEXT)
def test_any_text_stays_one_word_in_shell(value: str) -> None:
    text = in_memory("echo {{ value | shell }} end", value)

    assert shlex.split(text) == ["echo", value, "end"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\n{{ nmae | yaml }}", "line 2: 'nmae' is undefined"),
        ("{{ [nmae] | json }}", "line 1: 'nmae' is undefined"),
        ("{{ {'a': nmae} | yaml }}", "line 1: 'nmae' is undefined"),
        ("{{ nmae | shell }}", "line 1: 'nmae' is undefined"),
        ("{{ range | json }}", "line 1: a function is no plain data"),
        ("{{ nmae }}", "line 1: 'nmae' is undefined"),
        ("a\n\n{{ name }}", "line 3: a value needs an encoder: `| yaml`, `| json` or `| shell`"),
        ("{{ name ~ 'x' }}", "line 1: a value needs an encoder: `| yaml`, `| json` or `| shell`"),
        ("{{ (name | yaml) ~ name }}", "line 1: a value needs an encoder: `| yaml`, `| json` or `| shell`"),
        ("{% if name %}", None),
        ("{{ name.__class__.__mro__ | yaml }}", "line 1: access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ (1 / 0) | yaml }}", "line 1: division by zero"),
        ("{% include 'other' %}", None),
    ],
)
def test_a_broken_template_says_what_and_where(tmp_path: Path, text: str, problem: str | None) -> None:
    with pytest.raises(errors.TemplateError) as caught:
        rendered(tmp_path, text, name="web-1")

    assert caught.value.template == "a.j2"
    if problem is not None:
        assert caught.value.problem == problem


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.TemplateError, match=r"^template none\.j2: .*No such file"):
        templates.render(tmp_path / "none.j2", {})


def test_plain_text_and_numbers_need_no_encoder(tmp_path: Path) -> None:
    assert rendered(tmp_path, "port: {{ port }}\n{# no #}x: 'y'\n", port=22) == "port: 22\nx: 'y'\n"


def test_write_replaces_the_file_and_keeps_it_private(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o644)

    templates.write(path, "new\r\n")

    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new\r\n", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        templates.write(path, "\ud800")

    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


FILES = st.dictionaries(TEXT, TEXT, max_size=4)


@given(FILES, FILES)
def test_a_digest_is_equal_only_for_equal_files(one: dict[str, str], other: dict[str, str]) -> None:
    turned = dict(reversed(one.items()))

    assert templates.digest(one) == templates.digest(turned)
    assert (templates.digest(one) == templates.digest(other)) == (one == other)


def test_a_digest_stays_what_it_was() -> None:
    assert templates.digest({"b": "2", "a": "1"}) == "ddc7523b594d0dff5bb4dc052a820fbcc7b651c1eff8c3b7945644d10952fd7e"
