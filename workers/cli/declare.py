"""`init`, `validate` and `schema`: the fleet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from config import example, fleet_schema
from config import settings as settings_module
from config.fleet import EnvironmentSpec, Fleet
from tasks.errors import ConfigurationError
from workers import crypto
from workers.cli import chosen, options, output, policy

_File = Annotated[Path, typer.Argument(metavar="[FILE]", help="The fleet file to write.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


class FileExistsAlreadyError(ConfigurationError):
    """A file that was to be written is there already."""

    help = "say --force to write over it, or name another file"


def init(file: _File = Path("fleet.yaml"), force: Force = False, as_json: options.Json = False) -> int:
    """Write a commented fleet file, and an encryption key if there is none.

    Example: stepmark init fleet.yaml
    """
    if file.exists() and not force:
        raise FileExistsAlreadyError(f"{file} is there already")
    key = settings_module.load().encryption_key_file.expanduser()
    made = crypto.create(key)
    file.write_text(example.text(), encoding="utf-8")
    if as_json:
        output.emit({"file": str(file), "encryption_key_file": str(key), "encryption_key_created": made})
        return 0
    console = output.out()
    console.print(f"Wrote {escape(str(file))}: say in it which hosts there are.")
    if made:
        console.print(f"Wrote the encryption key {escape(str(key))}: every worker needs it; keep a copy.")
    console.print(
        "\nNext:\n"
        f"  stepmark validate {escape(str(file))}    is it right?\n"
        "  stepmark doctor                what does this machine lack?\n"
        "  stepmark worker                start the workers (in another terminal)\n"
        f"  stepmark up {escape(str(file))}          make and configure the hosts"
    )
    return 0


def validate(fleet: options.FleetFile = None, as_json: options.Json = False) -> int:
    """Check a fleet file, and list what it declares.

    Example: stepmark validate fleet.yaml
    """
    found = chosen.load(fleet)
    if as_json:
        output.emit(_shape(found))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("environment", "provider", "groups", "labels"):
        table.add_column(heading)
    for environment in found.environments:
        table.add_row(*map(escape, _row(environment)))
    console = output.out()
    console.print(table)
    for schedule in found.schedules:
        console.print(f"schedule {schedule.name}: {schedule.workflow}, {escape(schedule.when)}")
    console.print(f"{escape(str(found.path))} is right.")
    for warning in policy.warnings(found):
        output.err().print(escape(warning), style="yellow", soft_wrap=True)
    return 0


def schema(as_json: options.Json = False) -> int:  # noqa: ARG001 - it is JSON either way
    """Print the JSON Schema of fleet files, for editors.

    Example: stepmark schema > fleet.schema.json
    """
    output.emit(fleet_schema.schema())
    return 0


def _row(environment: EnvironmentSpec) -> tuple[str, str, str, str]:
    labels = ", ".join(f"{key}={value}" for key, value in environment.labels.items())
    return environment.name, environment.provider.name, ", ".join(environment.groups), labels


def _shape(fleet: Fleet) -> dict[str, Any]:
    return {
        "file": str(fleet.path),
        "environments": [environment.model_dump(mode="json") for environment in fleet.environments],
        "schedules": [schedule.model_dump(mode="json") for schedule in fleet.schedules],
        "warnings": list(policy.warnings(fleet)),
    }
