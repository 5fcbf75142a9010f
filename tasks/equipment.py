"""Equipment: what a worker must have for its steps, by name; on the worker, what it lacks of that."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from config.fleet import EnvironmentSpec, SecretRef
from config.providers import registry as declared
from config.settings import Settings
from tasks import errors
from tasks.adapters import tofu_folder
from tasks.providers import registry
from tasks.workflows.model import Step


class What(StrEnum):
    """What sort of thing it is. secret: a reference to one."""

    SECRET = "secret"  # noqa: S105 - a word, no secret
    FILE = "file"
    PROGRAM = "program"


class Item(NamedTuple):
    """One thing that every worker of `queue` must have. name: a reference, a path or a program; never a secret."""

    queue: str
    what: What
    name: str


TOFU, SSH, ANSIBLE = "tofu", "ssh", "ansible-playbook"
_Things = Iterator[tuple[What, str]]


def wanted(environment: EnvironmentSpec, steps: Iterable[Step]) -> frozenset[Item]:
    """What the steps need of their workers for this environment, as far as that can be known beforehand."""
    found = ((step.queue.value, thing) for step in steps for thing in _of(step.task.name)(environment))
    return frozenset(Item(queue, what, name) for queue, (what, name) in found)


def lack(item: Item, settings: Settings) -> str | None:
    """What is wrong with it on this machine, in one line; None if it is here."""
    if item.what is What.SECRET:
        return SecretRef(reference=item.name).check()
    if item.what is What.FILE:
        return _unreadable(Path(item.name))
    return None if program(item.name, settings) else f"{item.name} is not on its PATH"


def program(name: str, settings: Settings) -> str | None:
    """The path of a program as the steps find it on this machine."""
    if name == TOFU:
        try:
            return tofu_folder.binary(settings.tofu_binary)
        except errors.ToolMissingError:
            return None
    beside = [str(Path(sys.executable).parent)] if name == ANSIBLE else []
    return shutil.which(name, path=os.pathsep.join((*beside, os.environ.get("PATH", os.defpath))))


def _of(task: str) -> Callable[[EnvironmentSpec], _Things]:
    """What a task needs; one that is not named here, what all of its tool need."""
    return _NEEDS.get(task) or _NEEDS.get(task.partition(".")[0], _nothing)


def _nothing(environment: EnvironmentSpec) -> _Things:
    del environment
    yield from ()


def _rendering(environment: EnvironmentSpec) -> _Things:
    if _made_here(environment):
        yield What.SECRET, environment.ssh.key.reference
        if template := environment.parameters.cloud_init.template:
            yield What.FILE, template


def _tofu(environment: EnvironmentSpec) -> _Things:
    if _made_here(environment):
        yield What.PROGRAM, TOFU
        for secret in registry.get(environment).secrets(environment).values():
            yield What.SECRET, secret.reference


def _drift(environment: EnvironmentSpec) -> _Things:
    yield from _rendering(environment)
    yield from _tofu(environment)


def _login(environment: EnvironmentSpec) -> _Things:
    yield What.PROGRAM, SSH
    yield What.SECRET, environment.ssh.key.reference


def _play(environment: EnvironmentSpec) -> _Things:
    yield What.PROGRAM, ANSIBLE
    yield from _login(environment)


_NEEDS: Mapping[str, Callable[[EnvironmentSpec], _Things]] = {
    "tofu.render": _rendering,
    "tofu.look_for_drift": _drift,
    "ansible.render": _nothing,
    "tofu": _tofu,
    "ssh": _login,
    "cloudinit": _login,
    "ansible": _play,
    "workspace": _nothing,
}


def _made_here(environment: EnvironmentSpec) -> bool:
    """Whether its provider makes hosts at all; one that does has templates."""
    return declared.templates(str(environment.provider.name)).is_dir()


def _unreadable(path: Path) -> str | None:
    try:
        with path.expanduser().open("rb"):
            return None
    except (OSError, RuntimeError) as error:  # RuntimeError: `~` of nobody
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{path}: {reason}"
