"""`python -m tasks.sandbox VERB`: sandbox hosts for a program to call, OpenTofu's templates above all.

The answer is JSON on standard output; progress and errors are lines on standard error; exit status 1: it failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from tasks import errors
from tasks.sandbox import api
from tasks.sandbox.model import HostKind, Spec

SPEC_VARIABLE = "STEPMARK_SANDBOX_SPEC"
"""The specification as JSON, where standard input is not ours; it may hold secrets, so it is never an argument."""


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], object] = options.run
    try:
        answer = run(options)
    except errors.StepmarkError as error:
        print(f"error: {error}", getattr(error, "output_tail", ""), sep="\n", file=sys.stderr)
        return 1
    except ValidationError as error:
        print(f"error: the specification cannot be used: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tasks.sandbox", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace], object], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    spec = f"the specification: a JSON file; without one ${SPEC_VARIABLE}, else standard input"
    verb("create", _create, "make a host and boot it").add_argument("spec", type=Path, nargs="?", help=spec)
    verb("destroy", _destroy, "end a host and remove it").add_argument("spec", type=Path, nargs="?", help=spec)
    verb("list", _list, "all hosts of a sandbox").add_argument("directory", type=Path)
    status = verb("status", _status, "one host; null if there is none")
    status.add_argument("directory", type=Path)
    status.add_argument("name")
    roots = verb("roots", _roots, "build what hosts of a kind are made from")
    roots.add_argument("kind", type=HostKind, choices=list(HostKind))
    roots.add_argument("--roots", type=Path, default=Spec.model_fields["roots"].default)
    return parser


def _read(options: argparse.Namespace) -> Spec:
    text = options.spec.read_text() if options.spec else os.environ.get(SPEC_VARIABLE) or sys.stdin.read()
    return Spec.model_validate_json(text)


def _create(options: argparse.Namespace) -> object:
    return api.create(_read(options), _say).model_dump()


def _destroy(options: argparse.Namespace) -> object:
    spec = _read(options)
    return {"destroyed": api.destroy(spec.directory, spec.name, _say)}


def _list(options: argparse.Namespace) -> object:
    return [one.model_dump() for one in api.instances(options.directory)]


def _status(options: argparse.Namespace) -> object:
    found = api.status(options.directory, options.name)
    return found and found.model_dump()


def _roots(options: argparse.Namespace) -> object:
    return {"root": api.ensure_root(options.kind, options.roots, _say)}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
