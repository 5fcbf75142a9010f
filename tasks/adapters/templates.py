"""Render what tools read, so that no value can break out of its place. Jinja: https://jinja.palletsprojects.com/.

HCL files are static: their values go beside them, as JSON. What is rendered is YAML or shell, and every `{{ … }}` in a
template must end in an encoder: `| yaml`, `| json` or `| shell`. Text that has not been through one is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import jinja2
import jinja2.sandbox
import yaml

from tasks import errors


class _Encoded(str):
    __slots__ = ()


class _Quoting(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - a value spliced twice needs no anchor
        return True


def _unknown(value: object) -> NoReturn:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises, and says what is undefined
    raise TypeError(f"a {type(value).__name__} is no plain data")


_Quoting.add_representer(str, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"'))
_Quoting.add_multi_representer(object, lambda _, value: _unknown(value))


def _yaml(value: object) -> _Encoded:
    listed = yaml.dump([value], Dumper=_Quoting, default_flow_style=True, width=sys.maxsize)
    return _Encoded(listed.strip()[1:-1])


def _json(value: object) -> _Encoded:
    return _Encoded(json.dumps(value, default=_unknown))


def _shell(value: object) -> _Encoded:
    return _Encoded(shlex.quote(str(value)))


def _refuse_plain(value: object) -> object:
    if isinstance(value, _Encoded | int | jinja2.Undefined):
        return value
    raise ValueError("a value needs an encoder: `| yaml`, `| json` or `| shell`")


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=_refuse_plain, keep_trailing_newline=True, autoescape=False
    )
    made.filters.update(yaml=_yaml, json=_json, shell=_shell)
    return made


_ENVIRONMENT = _environment()


def _line(traceback: TracebackType | None) -> int | None:
    found = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def _problem(error: Exception) -> str:
    line = error.lineno if isinstance(error, jinja2.TemplateSyntaxError) else _line(error.__traceback__)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if line is None else f"line {line}: {text}"


def render(template: Traversable, values: Mapping[str, object]) -> str:
    """The text of `template` with `values` in it.

    Raises:
        TemplateError: it cannot be read, is not Jinja, names what is undefined, or puts out what no encoder has seen.
    """
    try:
        return _ENVIRONMENT.from_string(template.read_text(encoding="utf-8")).render(values)
    except Exception as error:
        raise errors.TemplateError(template.name, _problem(error)) from error


def to_yaml(value: object) -> str:
    """`value` as a YAML document in ASCII. Its strings come back as they were, whatever is in them."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=False)


def to_json(value: object) -> str:
    """`value` as a JSON document in ASCII. In a `.tfvars.json` OpenTofu takes its strings literally, `${` too."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def write(path: Path, text: str) -> None:
    """Put `text` into `path`, for the owner only (0600). A reader sees the old file or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def digest(files: Mapping[str, str]) -> str:
    """SHA-256, in hex, of names and contents, whatever their order."""
    listed = json.dumps(sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()
