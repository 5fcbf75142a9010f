"""State: what a state of OpenTofu says of itself (format 4), and Orphans: where states go that came too late."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tasks import errors

_BROKEN = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class State:
    """One state. resources: what it manages, the id of each by its address; an id may be empty."""

    lineage: str
    serial: int
    resources: Mapping[str, str]

    def within(self, other: State) -> bool:
        """Whether the other one knows all that this one knows, under the same ids."""
        return self.resources.items() <= other.resources.items()


EMPTY = State("", 0, {})
"""The state of an environment of which nothing was ever made."""


class Orphans(Protocol):
    """The states of an environment that came without the lock; an operator settles them."""

    def keep(self, content: bytes) -> None:
        """Keep one more; one that was kept before, or settled, is not kept again."""
        ...

    def check(self) -> None:
        """See that none waits to be settled; one of which the state knows everything is settled here.

        Raises:
            OrphanedStateError: one does.
        """
        ...


class _NoOrphans:
    """Where no states are kept."""

    def keep(self, content: bytes) -> None:
        """Refuse it."""
        del content
        raise errors.OrphanedStateError("a state has moved on, and there is nowhere to keep the one that came too late")

    def check(self) -> None:
        """There are none."""


NO_ORPHANS: Orphans = _NoOrphans()
"""Where no states are kept."""


def read(content: bytes) -> State:
    """The state in the text that OpenTofu writes.

    {"version": 4, "lineage": "…", "serial": 3, "resources": [{"mode": "managed", "type": "hcloud_server",
     "name": "host", "instances": [{"attributes": {"id": "42"}}]}]}

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(content)
        resources = dict(_instances(value.get("resources") or []))
        return State(str(value.get("lineage") or ""), int(value["serial"]), resources)
    except _BROKEN as error:
        raise ValueError(f"it is no state of OpenTofu: {error!r}") from error


def renumbered(content: bytes, serial: int) -> bytes:
    """The same state under another serial number."""
    return json.dumps({**json.loads(content), "serial": serial}, indent=2).encode() + b"\n"


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal: by its first 8 characters a state is called."""
    return hashlib.sha256(content).hexdigest()


def _instances(resources: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for resource in resources:
        if resource["mode"] != "managed":
            continue
        module = f"{resource['module']}." if resource.get("module") else ""
        for instance in resource["instances"]:
            index = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
            address = f"{module}{resource['type']}.{resource['name']}{index}"
            yield address, str((instance.get("attributes") or {}).get("id") or "")
