"""The commands of OpenTofu that we use, or of Terraform: the same. Manual: https://opentofu.org/docs/cli/commands/."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, ValidationError

from tasks import errors
from tasks.adapters import templates, tofu_folder, tofu_salvage
from tasks.adapters.tofu_folder import Folder, Outcome
from tasks.facts import PlanSummary

PLAN = "plan.tfplan"
"""The saved plan, in the workspace."""

NOTHING = PlanSummary(add=0, change=0, destroy=0)
"""No change of any resource; outputs may still change."""

_LOCK_FILE = ".terraform.lock.hcl"
_INPUT = "-input=false"
# An earlier command of ours may just be ending.
_WAIT = "-lock-timeout=10s"


@dataclass(frozen=True)
class Plan:
    """A saved plan. `changed`: applying it would change resources or outputs. starts: all that it ends is a `boot`."""

    summary: PlanSummary
    changed: bool
    starts: bool = False


@dataclass(frozen=True)
class Difference:
    """Between what is declared and what there is. resources: `ADDRESS: ACTION` each; none of an output."""

    summary: PlanSummary
    changed: bool
    resources: tuple[str, ...]


@dataclass(frozen=True)
class Applied:
    """What apply did. `plan`: the one it had to make because the saved one no longer fitted; None: it fitted."""

    changes: PlanSummary
    plan: Plan | None


class InstanceInfo(BaseModel):
    """The templates' output `instance_info`. ssh_port: None means the declared one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    image: str
    status: str
    ip_address: IPvAnyAddress
    ssh_port: Annotated[int, Field(ge=1, le=65535)] | None = None


def init(folder: Folder, *more: str) -> str | None:
    """Fetch the providers. Gives the digest of the lock file, SHA-256 in hex; None: only built-in providers."""
    # Nothing of an earlier init is trusted: it may have been cut off by a full disk, and no init gets past that.
    for old in (_marker(folder), _backend(folder)):
        old.unlink(missing_ok=True)
    # -reconfigure: the state is never on this disk, so there is none to migrate.
    with tofu_folder.downloading(folder):
        tofu_folder.run(folder, "init", _INPUT, "-no-color", "-reconfigure", *more)
    _marker(folder).parent.mkdir(exist_ok=True)
    templates.write(_marker(folder), _init_digest(folder))
    lock = folder.path / _LOCK_FILE
    return templates.digest({_LOCK_FILE: lock.read_text(encoding="utf-8")}) if lock.exists() else None


def ensure_init(folder: Folder) -> None:
    """Init again on a worker that has not, or not for these files; never with other providers than those locked."""
    if not _initialised(folder):
        init(folder, "-lockfile=readonly")


def validate(folder: Folder) -> None:
    """Check the configuration without looking at the state."""
    ensure_init(folder)
    tofu_folder.run(folder, "validate", "-json")


def plan(folder: Folder, *, allow_destroy: bool) -> Plan:
    """Plan into `PLAN`, and show in the log what it would change.

    A resource that an earlier apply left half made (tainted) may be replaced: nobody has used it yet, and without
    that no failed apply could be resumed. So may the folder's `boot`.

    Raises:
        DestroyRefusedError: it would destroy or replace anything else, and `allow_destroy` is false; no plan is kept.
    """
    ensure_init(folder)
    tofu_salvage.salvage(folder)
    (folder.path / PLAN).unlink(missing_ok=True)
    arguments = ("plan", _INPUT, _WAIT, "-detailed-exitcode", f"-out={PLAN}", "-json")
    try:
        outcome = tofu_folder.run(folder, *arguments, good=(0, 2))
    finally:
        _make_private(folder.path / PLAN)
    changed = outcome.completed.exit_status == 2
    if changed:
        tofu_folder.run(folder, "show", "-no-color", PLAN)
    ended = [address for address in outcome.report.destroys if address != folder.boot]
    if ended and not allow_destroy:
        (folder.path / PLAN).unlink()
        raise errors.DestroyRefusedError(f"the plan would destroy or replace {', '.join(ended)}")
    summary = outcome.report.changes or NOTHING
    return Plan(summary, changed, starts=outcome.report.destroys == (folder.boot,) and summary.destroy == 1)


def compare(folder: Folder) -> Difference:
    """What a plan would change; shown in the log. Nothing is locked, and no state is written.

    Other than before a plan that is to be applied, providers that are not locked yet may be fetched: the lock file is
    not kept.
    """
    if not _initialised(folder):
        init(folder)
    arguments = ("plan", _INPUT, "-lock=false", "-detailed-exitcode", f"-out={PLAN}", "-json")
    try:
        outcome = tofu_folder.run(folder, *arguments, good=(0, 2))
    finally:
        _make_private(folder.path / PLAN)
    changed = outcome.completed.exit_status == 2
    if changed:
        tofu_folder.run(folder, "show", "-no-color", PLAN)
    return Difference(outcome.report.changes or NOTHING, changed, outcome.report.planned)


def apply(folder: Folder, *, allow_destroy: bool) -> Applied:
    """Apply the saved plan; if there is none, or the state has moved on since, a new one under the same rule.

    Raises:
        DestroyRefusedError: as `plan`.
        StateError: the store did not take the state; `errored.tfstate` in the workspace holds what is real.
    """
    ensure_init(folder)
    tofu_salvage.salvage(folder)
    made = None if (folder.path / PLAN).exists() else plan(folder, allow_destroy=allow_destroy)
    outcome = _apply(folder)
    if outcome.report.plan_unusable and made is None:
        made = plan(folder, allow_destroy=allow_destroy)
        outcome = _apply(folder)
    if outcome.completed.exit_status != 0:
        raise outcome.error()
    return Applied(outcome.report.changes or NOTHING, made)


def adopt(folder: Folder, resource: str, name: str) -> None:
    """Take a host that exists into the state, as `resource`; `name` is what the provider calls it."""
    ensure_init(folder)
    tofu_folder.run(folder, "import", _INPUT, "-no-color", _WAIT, resource, name)


def destroy(folder: Folder) -> PlanSummary:
    """End all that the state knows of."""
    ensure_init(folder)
    tofu_salvage.salvage(folder)
    outcome = tofu_folder.run(folder, "destroy", _INPUT, _WAIT, "-auto-approve", "-json")
    return outcome.report.changes or NOTHING


def output(folder: Folder) -> InstanceInfo:
    """Read `instance_info` from the applied state.

    {"instance_info":{"sensitive":false,"value":{"name":"web-1","image":"debian-12","status":"running","ip_address":"…"}}}

    Raises:
        InfrastructureError: it is not there, or not of that shape.
    """
    ensure_init(folder)
    outcome = tofu_folder.run(folder, "output", "-no-color", "-json", quiet=True)
    whose = f"{tofu_folder.program(folder.binary)} output"
    try:
        return InstanceInfo.model_validate(json.loads(outcome.completed.stdout)["instance_info"]["value"])
    except KeyError as error:
        raise errors.InfrastructureError(f"{whose}: the state has no output `instance_info`") from error
    except (ValidationError, ValueError, TypeError) as error:
        problem = f"{whose}: instance_info is not as it must be: {_first_line(error)}"
        raise errors.InfrastructureError(folder.session.redact(problem)) from error


def serial(folder: Folder) -> int | None:
    """The state's serial number; None: there is no state."""
    ensure_init(folder)
    return tofu_salvage.current(folder).serial or None


def _apply(folder: Folder) -> Outcome:
    return tofu_folder.attempt(folder, "apply", _INPUT, _WAIT, "-json", PLAN)


def _make_private(path: Path) -> None:
    """OpenTofu writes for all to read. It gets no umask: what it starts, like a sandbox's host, would have it too."""
    if path.exists():
        path.chmod(0o600)


def _marker(folder: Folder) -> Path:
    return folder.path / ".terraform" / "stepmark-init"


def _backend(folder: Folder) -> Path:
    """Where OpenTofu notes which backend it was initialised for; not a state, despite its name."""
    return folder.path / ".terraform" / "terraform.tfstate"


def _initialised(folder: Folder) -> bool:
    try:
        json.loads(_backend(folder).read_text(encoding="utf-8"))
        return _marker(folder).read_text(encoding="utf-8") == _init_digest(folder)
    except (OSError, ValueError):
        return False


def _init_digest(folder: Folder) -> str:
    found = sorted((*folder.path.glob("*.tf"), *folder.path.glob(_LOCK_FILE)))
    contents = {path.name: path.read_text(encoding="utf-8") for path in found}
    return templates.digest({**contents, "binary": folder.binary, "mirror": str(folder.mirror)})


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).partition("\n")[0]
