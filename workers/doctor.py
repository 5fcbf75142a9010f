"""Doctor: what is installed, reachable and missing on this machine, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence

import redis
from celery import Celery

from config.fleet import Fleet
from config.settings import Settings
from tasks import equipment
from tasks.adapters import daemon
from tasks.equipment import Item
from tasks.errors import StepmarkError
from tasks.sandbox import ladder
from tasks.sandbox.ladder import Lack, Rung
from workers import crypto, readiness, redischeck, runtime, verbs
from workers.checks import Check, Verdict
from workers.registry import Condition, Registry, WorkerRecord
from workers.runtime import Base
from workers.schedule import Schedules

_FLEET = "workers' equipment"
_VERSION_SECONDS = 20.0
# OpenTofu would look for updates, and warn of a configuration file that is not there.
_QUIET = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}


def examine(settings: Settings, app: Celery, fleet: Fleet | None) -> tuple[Check, ...]:
    """All checks; each looks for itself, and none raises. fleet: whether the workers have what it needs."""
    return (
        *(_python(), _tofu(settings), *_programs(settings)),
        *(*redischeck.examine(settings), _key(settings), *_workers(settings, app, fleet), *_sandbox()),
    )


def _python() -> Check:
    return Check("python", Verdict.OK, f"{platform.python_version()} at {sys.executable}")


def _tofu(settings: Settings) -> Check:
    names = (settings.tofu_binary,) if settings.tofu_binary else ("tofu", "terraform")
    for name in names:
        if path := shutil.which(name):
            return Check("opentofu", Verdict.OK, f"{_first_line(path, 'version')} at {path}")
    advice = "without it hosts can be registered and configured, not provisioned; it is one binary: put `tofu` of "
    advice += "opentofu.org on PATH, or name one by STEPMARK_TOFU_BINARY"
    return Check("opentofu", Verdict.LIMITED, f"{' and '.join(names)}: not on PATH", advice)


def _programs(settings: Settings) -> Iterator[Check]:
    yield _program("ssh", "openssh-client", "-V")
    if path := equipment.program(equipment.ANSIBLE, settings):
        yield Check("ansible", Verdict.OK, f"{_first_line(path, '--version')} at {path}")
    else:
        advice = "it comes with Stepmark: install Stepmark anew in this environment (pip)"
        yield Check("ansible", Verdict.MISSING, "ansible-playbook is not beside this Python", advice)


def _program(name: str, package: str, option: str) -> Check:
    if path := shutil.which(name):
        return Check(name, Verdict.OK, f"{_first_line(path, option)} at {path}")
    return Check(name, Verdict.MISSING, f"{name} is not on PATH", f"Debian package {package}")


def _first_line(path: str, option: str) -> str:
    try:
        argv = ("sh", "-c", '"$0" "$1" 2>&1', path, option)  # ssh says it on standard error
        said = daemon.call(argv, timeout_seconds=_VERSION_SECONDS, env={**os.environ, **_QUIET})
    except StepmarkError as error:
        return f"it does not run ({error})"
    return said.partition("\n")[0].strip()


def _key(settings: Settings) -> Check:
    try:
        crypto.load(settings.encryption_key_file)
    except StepmarkError as error:
        return Check("encryption key", Verdict.MISSING, str(error), "all workers need the same one")
    return Check("encryption key", Verdict.OK, str(settings.encryption_key_file.expanduser()))


def _workers(settings: Settings, app: Celery, fleet: Fleet | None) -> Iterator[Check]:
    base = runtime.base(settings)
    try:
        found = Registry(base.client, base.keys).workers()
        yield _living(found)
        if fleet and found:
            yield _equipped(base, app, fleet)
        yield _schedules(Schedules(base.client, base.keys))
    except redis.RedisError:
        yield _living(())


def _living(workers: Sequence[WorkerRecord]) -> Check:
    words = [each.name if each.condition is Condition.READY else f"{each.name} ({each.condition})" for each in workers]
    if any(each.condition is Condition.READY for each in workers):
        return Check("workers", Verdict.OK, ", ".join(words))
    return Check("workers", Verdict.LIMITED, ", ".join(words) or "none lives", "`stepmark worker` starts them")


def _schedules(kept: Schedules) -> Check:
    count, beat = len(kept.names()), kept.beat()
    if beat or not count:
        return Check("schedules", Verdict.OK, f"{count}, fired by the beat {beat}" if beat else "none")
    return Check("schedules", Verdict.LIMITED, f"{count}, but no beat is active", "`stepmark worker --beat` starts one")


def _equipped(base: Base, app: Celery, fleet: Fleet) -> Check:
    """Whether the workers have what `up` needs for all environments of the fleet."""
    items: set[Item] = set()
    for spec in fleet.environments:
        try:
            items |= readiness.wanted(base, spec, verbs.workflows("up", spec))
        except StepmarkError as error:
            return Check(_FLEET, Verdict.LIMITED, f"{spec.name}: {error}")
    found = readiness.ask(base, app, frozenset(items))
    if found.lacks:
        advice = "put the file or the program there, or set the variable and start the worker anew"
        return Check(_FLEET, Verdict.MISSING, "; ".join(map(str, found.lacks)), advice)
    if found.warnings():
        return Check(_FLEET, Verdict.LIMITED, "; ".join(found.warnings()))
    return Check(_FLEET, Verdict.OK, f"they have all that {fleet.path} needs")


def _sandbox() -> Iterator[Check]:
    for rung in ladder.look().rungs:
        if rung.possible:
            yield Check(f"sandbox {rung.kind}", Verdict.OK, "possible")
        else:
            yield Check(f"sandbox {rung.kind}", Verdict.LIMITED, _reasons(rung, _reason), _reasons(rung, _install))


def _reasons(rung: Rung, part: Callable[[Lack], str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, map(part, rung.lacks))))


def _reason(lack: Lack) -> str:
    return lack.reason


def _install(lack: Lack) -> str:
    return f"Debian package {', '.join(lack.install)}" if lack.install else ""
