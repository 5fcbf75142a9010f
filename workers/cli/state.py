"""`state`: the OpenTofu states in Redis, as operators look at them, settle them and encrypt them anew."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape

from tasks.adapters import tofu_states
from tasks.adapters.tofu_states import State
from workers import crypto, orphans, statelock, verbs
from workers.cli import connect, options, output, words
from workers.cli.reports import Exit
from workers.orphans import Choice, Orphan, OrphanStore
from workers.refusals import NotFoundError, RefusedError
from workers.rekey import Rekeyer
from workers.runtime import Base
from workers.statelock import Lock
from workers.tofustate import TofuState

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The OpenTofu states that Redis keeps.")

Keep = Annotated[
    str | None,
    typer.Option("--keep", metavar="current|ID", help="What is the state from now on; the rest is put aside."),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with your name.")]
WhichOrphan = Annotated[
    str | None, typer.Option("--orphan", metavar="ID", help="A state that came late, or was put aside.")
]


@dataclass(frozen=True)
class _Known:
    """All that is kept of one environment's state. content: None: there is none yet."""

    environment: str
    content: bytes | None
    waiting: tuple[Orphan, ...]
    settled: tuple[Orphan, ...]
    lock: Lock | None
    audit: tuple[dict[str, str], ...]

    @property
    def state(self) -> State:
        return tofu_states.read(self.content) if self.content else tofu_states.EMPTY


@app.command()
def show(environment: options.Environment, as_json: options.Json = False) -> int:
    """Show an environment's state: its resources, who locks it, what came late, what operators did.

    Example: stepmark state show web-3
    """
    _print(_known(connect.base(), environment), as_json=as_json)
    return Exit.OK


@app.command()
def pull(environment: options.Environment, orphan: WhichOrphan = None, as_json: options.Json = False) -> int:
    """Print a state as OpenTofu wrote it. It may hold secrets.

    Example: stepmark state pull web-3 --orphan 3f2a91c0
    """
    del as_json  # it is JSON either way
    known = _known(connect.base(), environment)
    content = orphans.named((*known.waiting, *known.settled), orphan).content if orphan else known.content
    if content is None:
        raise NotFoundError(f"OpenTofu state of {environment!r}", "nothing was ever made there")
    sys.stdout.write(content.decode())
    return Exit.OK


@app.command()
def reconcile(
    environment: options.Environment, keep: Keep = None, reason: Reason = None, as_json: options.Json = False
) -> int:
    """Show which states came late, and say which one is right. Until then nothing is planned, applied or destroyed.

    Example: stepmark state reconcile web-3 --keep current --reason "the late one knows no other host"
    """
    base = connect.base()
    known = _known(base, environment)
    if keep is not None:
        chosen = None if keep == "current" else orphans.named((*known.waiting, *known.settled), keep)
        if chosen is None and not known.waiting:
            raise RefusedError(f"no state of {environment} came late", "there is nothing to settle")
        choice = Choice(chosen, verbs.whoami(), _given(reason), time.time())
        _orphans(base).settle(environment, known.waiting, choice)
        known = _known(base, environment)
    _print(known, as_json=as_json)
    if known.waiting and not as_json:
        names = "|".join(("current", *(orphan.id for orphan in known.waiting)))
        output.out().print(
            f"\nnext: stepmark state reconcile {environment} --keep {names} --reason TEXT", soft_wrap=True
        )
    return Exit.OK


@app.command(name="force-unlock")
def force_unlock(environment: options.Environment, reason: Reason = None, as_json: options.Json = False) -> int:
    """Free the lock of a state whose holder is dead. Refused while it lives.

    Example: stepmark state force-unlock web-3 --reason "its machine burned"
    """
    base = connect.base()
    base.store.environment(environment)
    why, lock = _given(reason), statelock.held(base, environment)
    if lock:
        statelock.release(base, environment, lock, verbs.whoami(), why)
    if as_json:
        output.emit({"environment": environment, "freed": _lock_shape(lock)})
    else:
        output.out().print(escape(f"freed: {lock.text}" if lock else "nobody holds the lock"), soft_wrap=True)
    return Exit.OK


@app.command()
def rekey(as_json: options.Json = False) -> int:
    """Encrypt workspaces and states anew, under the first key of the file. May be interrupted and repeated.

    Example: stepmark state rekey
    """
    base = connect.base()
    progress = output.err()

    def say(done: int, total: int) -> None:
        if done == total or done % 100 == 0:
            progress.print(f"{done} of {total}")

    file = base.settings.encryption_key_file
    found = Rekeyer(base.client, base.keys, crypto.load(file)).perform(say)
    status = Exit.FAILED if found.lost else Exit.OK
    if as_json:
        output.emit({"found": found.found, "resealed": found.resealed, "lost": list(found.lost)})
        return status
    console = output.out()
    console.print(f"{found.found} kept, {found.resealed} of them encrypted anew")
    for place in found.lost:
        console.print(escape(f"no key in {file} opens {place}"), soft_wrap=True)
    if found.resealed:
        console.print("Run it again until it encrypts nothing anew: workers may write with an older key meanwhile.")
    elif not found.lost:
        console.print(
            "Older keys may be removed, once every worker was restarted with a file that begins with this key."
        )
    return status


def _states(base: Base) -> TofuState:
    return TofuState(base.client, base.keys, crypto.load(base.settings.encryption_key_file))


def _orphans(base: Base) -> OrphanStore:
    return OrphanStore(_states(base), base.retention_seconds)


def _known(base: Base, environment: str) -> _Known:
    base.store.environment(environment)
    states, late = _states(base), _orphans(base)
    entries = cast("list[tuple[str, dict[str, str]]]", base.client.xrange(base.keys.tofu_audit(environment)))
    return _Known(
        environment,
        states.load(environment),
        late.waiting(environment),
        late.settled(environment),
        statelock.held(base, environment),
        tuple(fields for _, fields in entries),
    )


def _given(reason: str | None) -> str:
    if not (reason or "").strip():
        raise typer.BadParameter("say why, in a few words", param_hint="--reason")
    return str(reason)


def _print(known: _Known, *, as_json: bool) -> None:
    if as_json:
        output.emit(_shape(known))
        return
    console = output.out()
    state = known.state
    console.print(f"[bold]{known.environment}[/]  serial {state.serial}  lineage {state.lineage or '-'}")
    console.print(f"  lock: {escape(known.lock.text) if known.lock else 'free'}", soft_wrap=True)
    _print_resources(console, state)
    for orphan in known.waiting:
        console.print(f"\n[bold red]orphan {orphan.id}[/]  {_origin(orphan)}", soft_wrap=True)
        _print_resources(console, orphan.state)
        _print_difference(console, state, orphan.state)
    for orphan in known.settled:
        console.print(f"\nput aside {orphan.id}  {_origin(orphan)}", soft_wrap=True)
    for entry in known.audit:
        what = " ".join(filter(None, (entry["what"], entry.get("owner"), entry.get("orphans"))))
        kept = f", kept {entry['kept']}" if "kept" in entry else ""
        told = (
            f"{words.moment(float(entry['at']))}  {what}{kept}, by {entry['user']} (unauthenticated): {entry['reason']}"
        )
        console.print(escape(f"\n{told}"), soft_wrap=True)


def _origin(orphan: Orphan) -> str:
    state = orphan.state
    by = f" by {orphan.owner}" if orphan.owner else ""
    return f"serial {state.serial}  lineage {state.lineage or '-'}  written {words.moment(orphan.at)}{by}"


def _print_resources(console: Console, state: State) -> None:
    for address, name in state.resources.items():
        console.print(escape(f"  {address}  {name or '-'}"), soft_wrap=True)
    if not state.resources:
        console.print("  no resources")


def _print_difference(console: Console, current: State, late: State) -> None:
    """What would be forgotten by keeping one or the other."""
    for word, one, other in (("only here", late, current), ("not here", current, late)):
        lines = [f"{address} {name}" for address, name in one.resources.items() - other.resources.items()]
        if lines:
            console.print(escape(f"  {word}: {', '.join(sorted(lines))}"), soft_wrap=True)


def _shape(known: _Known) -> dict[str, Any]:
    return {
        "environment": known.environment,
        "state": _state_shape(known.state) if known.content else None,
        "lock": _lock_shape(known.lock),
        "orphans": [_orphan_shape(orphan) for orphan in known.waiting],
        "settled": [_orphan_shape(orphan) for orphan in known.settled],
        "audit": [entry | {"at": float(entry["at"])} for entry in known.audit],
    }


def _state_shape(state: State) -> dict[str, Any]:
    return {"lineage": state.lineage, "serial": state.serial, "resources": dict(state.resources)}


def _orphan_shape(orphan: Orphan) -> dict[str, Any]:
    return {"id": orphan.id, "at": orphan.at, "owner": orphan.owner, **_state_shape(orphan.state)}


def _lock_shape(lock: Lock | None) -> dict[str, Any] | None:
    return {"id": lock.id, "owner": lock.owner, "info": json.loads(json.dumps(lock.info))} if lock else None
