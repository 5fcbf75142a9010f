"""TofuState: the states of OpenTofu in Redis, encrypted, under its own lock."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, cast

import redis

from tasks.adapters import tofu_states
from workers.connection import Script
from workers.crypto import Box
from workers.keys import Keys


class Owner(NamedTuple):
    """Whose commands may use a state: an environment's run in one epoch."""

    environment: str
    run: str
    epoch: int

    @property
    def name(self) -> str:
        """`RUN.EPOCH`."""
        return f"{self.run}.{self.epoch}"


class TofuState:
    """Reads, writes, locks and unlocks. Every method raises redis.RedisError when Redis does not take it."""

    def __init__(self, client: redis.Redis, keys: Keys, box: Box) -> None:
        self.client = client
        self.keys = keys
        self.box = box
        self._lock, self._unlock, self._save = (Script(client, name) for name in ("lock", "unlock", "save"))

    def load(self, environment: str) -> bytes | None:
        """The state, or None if there is none yet."""
        sealed = self.sealed(environment)
        return self.box.open(sealed, f"the OpenTofu state of {environment}") if sealed else None

    def sealed(self, environment: str) -> str:
        """The state as kept, encrypted; empty if there is none yet."""
        return cast("str | None", self.client.hget(self.keys.tofu_state(environment), "state")) or ""

    def save(self, owner: Owner, lock_id: str, content: bytes) -> bool:
        """Write the state. False: the lock was not held, and the state was kept as an orphan."""
        keys, name = self.keys, owner.environment
        places = (keys.tofu_state(name), keys.tofu_orphans(name), keys.tofu_settled(name))
        answer = self._save(places, lock_id, self.box.seal(content), tofu_states.digest(content), owner.name)
        return bool(answer[0] == "ok")

    def lock(self, owner: Owner, info: dict[str, Any]) -> str | None:
        """Take the lock. None: taken; else the info, as JSON, of the one who holds it."""
        keys = self.keys
        places = (keys.tofu_state(owner.environment), keys.environment(owner.environment), keys.run(owner.run))
        answer = self._lock(places, str(info["ID"]), json.dumps(info), owner.run, owner.epoch)
        return cast("str", answer[1]) if answer[0] == "locked" else None

    def unlock(self, environment: str, lock_id: str) -> str | None:
        """Free the lock; an empty ID frees whichever it is. None: freed; else the info of the one who holds it."""
        answer = self._unlock([self.keys.tofu_state(environment)], lock_id)
        return cast("str", answer[1]) if answer[0] == "locked" else None
