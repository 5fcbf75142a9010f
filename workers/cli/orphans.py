"""`orphans`, `forget` and `adopt`: environments that the fleet file does not declare, or calls by another name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape

from config.fleet import Name
from workers.cli import chosen, connect, look, options, output, words
from workers.cli.reports import Exit
from workers.names import Names, Reasons
from workers.records import EnvironmentRecord, Gone

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
HostIsGone = Annotated[bool, typer.Option("--host-is-gone", help="You have looked: no host of it is left.")]
NewName = Annotated[str, typer.Argument(metavar="NEW", help="The name that the fleet file gives it now.")]
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def orphans(fleet: options.FleetFile = None, as_json: options.Json = False) -> int:
    """List the environments that the fleet file does not declare, and those that it declares and nobody launched.

    Example: stepmark orphans fleet.yaml
    """
    declared = [spec.name for spec in chosen.load(fleet).environments]
    base = connect.base()
    names = Names(base)
    records = {record.name: record for record in base.store.environments()}
    found = [(record, names.host_name(record)) for name, record in records.items() if name not in declared]
    missing = [name for name in declared if name not in records]
    if as_json:
        shapes = [look.environment_shape(record) | {"host": host} for record, host in found]
        output.emit({"orphans": shapes, "never_launched": missing})
        return Exit.OK
    _print(found, missing)
    return Exit.OK


def forget(
    environment: options.Environment,
    reason: options.Reason,
    host_is_gone: HostIsGone = False,
    yes: Yes = False,
    as_json: options.Json = False,
) -> int:
    """Remove the record, facts, workspace and state of an environment whose host is gone. Asks first.

    Its runs, logs and traces stay for the retention.

    Example: stepmark forget web-9 --reason "moved to another fleet"
    """
    base = connect.base()
    _ask(f"This forgets {environment}: its facts, workspace, OpenTofu state and history.", yes=yes)
    gone = Names(base).forget(environment, Reasons(reason, host_is_gone))
    _tell(
        environment,
        gone,
        f"{environment} is forgotten. Its runs, logs and traces stay for the retention.",
        as_json=as_json,
    )
    return Exit.OK


def adopt(
    environment: options.Environment,
    new_name: NewName,
    reason: options.Reason = "",
    yes: Yes = False,
    as_json: options.Json = False,
) -> int:
    """Give an environment the name that the fleet file calls it by now; all that is known of it goes along. Asks first.

    Its host keeps its own name, at the provider and in itself: another name would be another host.

    Example: stepmark adopt web-old web-1
    """
    try:
        _NAME.validate_python(new_name)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="NEW") from error
    if environment == new_name:
        raise typer.BadParameter("it has that name", param_hint="NEW")
    base = connect.base()
    names = Names(base)
    host = names.host_name(base.store.environment(environment))
    kept = f" Its host keeps the name {host}, which stays reserved." if host and host != new_name else ""
    _ask(f"This calls {environment} {new_name} from now on.{kept}", yes=yes)
    gone = names.adopt(environment, new_name, reason)
    _tell(environment, gone, f"{environment} is called {new_name} now.{kept}", as_json=as_json)
    return Exit.OK


def _ask(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes", param_hint="forget")
    output.err().print(escape(what))
    if not typer.confirm("Go on?", default=False, err=True):
        raise typer.Abort


def _tell(environment: str, gone: Gone, text: str, *, as_json: bool) -> None:
    if as_json:
        output.emit({"environment": environment, **gone.model_dump(mode="json")})
    else:
        output.out().print(escape(text))


def _print(found: list[tuple[EnvironmentRecord, str | None]], missing: list[str]) -> None:
    console = output.out()
    if found:
        table = output.table("not declared", "state", "host", whole=("not declared",))
        for record, host in found:
            table.add_row(record.name, words.state(record), host or "none of ours")
        console.print(table)
        console.print("\nOne that was renamed in the file: `stepmark adopt OLD NEW`.")
        console.print(
            "One that is not wanted any more: `stepmark destroy NAME`, then `stepmark forget NAME --reason …`."
        )
    for name in missing:
        console.print(f"{name} is declared and was never launched.")
    if not found and not missing:
        console.print("The fleet file declares what there is, and nothing else.")
