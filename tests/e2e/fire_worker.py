"""A worker as it is, with the named points of an apply in it. FIRE_DIR, FIRE_AT: as `fire.reach` takes them.

FIRE_STORE: `refuse` or `cut`: what becomes of each state that is written, until FIRE_DIR/mended is there.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from config.fleet import EnvironmentSpec
from tasks.providers.sandbox import Sandbox
from tests.e2e import fire
from workers import stateserver
from workers.celery import app
from workers.tofustate import TofuState
from workers.tracker import Tracker

__all__ = ["app"]

FOLDER, AT = Path(os.environ["FIRE_DIR"]), os.environ["FIRE_AT"]
STORE = os.environ.get("FIRE_STORE")
_operations: dict[str, str] = {}


def reach(point: str) -> None:
    fire.reach(FOLDER, AT, point)


def around(owner: type, name: str, point: Callable[..., str | None]) -> None:
    """Put a point before the method and one after it; `point` names them from its arguments, or says None."""
    inner = getattr(owner, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = point(*args, **kwargs)
        reach(f"before {named}") if named else None
        answer = inner(self, *args, **kwargs)
        reach(f"after {named}") if named else None
        return answer

    setattr(owner, name, method)


def locking(_owner: object, info: dict[str, str]) -> str | None:
    _operations[info["ID"]] = info["Operation"]
    return "lock" if info["Operation"] == "OperationTypeApply" else None


def saving(_owner: object, lock_id: str, _content: bytes) -> str | None:
    return "save" if _operations.get(lock_id) == "OperationTypeApply" else None


def unlocking(_environment: str, lock_id: str) -> str | None:
    return "unlock" if _operations.get(lock_id) == "OperationTypeApply" else None


def ending(execution: Any, *_: Any) -> str | None:
    return "end" if execution.identity.step == "opentofu-apply" else None


def refused(inner: Callable[..., bool]) -> Callable[..., bool]:
    def save(self: TofuState, *args: Any) -> bool:
        if STORE == "refuse" and not (FOLDER / "mended").exists():
            raise redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'")
        return inner(self, *args)

    return save


def cut(inner: Callable[[Any], None]) -> Callable[[Any], None]:
    def do_post(self: Any) -> None:
        if STORE == "cut" and not (FOLDER / "mended").exists():
            self.rfile.read(20)
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        inner(self)

    return do_post


def slow(inner: Callable[..., Mapping[str, object]]) -> Callable[..., Mapping[str, object]]:
    def variables(self: Sandbox, environment: EnvironmentSpec) -> Mapping[str, object]:
        program = [sys.executable, "-P", str(Path(fire.__file__).with_name("fire_sandbox.py")), str(FOLDER), AT]
        return {**inner(self, environment), "program": program}

    return variables


around(TofuState, "lock", locking)
around(TofuState, "save", saving)
around(TofuState, "unlock", unlocking)
around(Tracker, "end", ending)
TofuState.save = refused(TofuState.save)  # type: ignore[method-assign]
stateserver._Handler.do_POST = cut(stateserver._Handler.do_POST)  # type: ignore[method-assign]
Sandbox.variables = slow(Sandbox.variables)  # type: ignore[method-assign]
