"""RolloutScript: tells Redis what happens to a rollout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import redis

from workers.connection import Script
from workers.keys import Keys
from workers.tracker import Answer


class RolloutScript:
    """The caller of the script `rollout`, which says what each word does."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._script = Script(client, "rollout")
        self._keys = keys

    def say(
        self,
        rollout: str,
        what: str,
        environment: str = "",
        *,
        pending: str = "",
        runs: tuple[str, str] = ("", ""),
        who: str = "",
        why: str = "",
        changes: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Have it happen, unless it has. pending: those of the environment's provider. runs: its run, and the next.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        keys = self._keys
        names = (
            *(keys.rollout(rollout), keys.rollout_events(rollout), keys.rollout_slots(rollout)),
            *(keys.rollout_outcomes(rollout), keys.rollout_specs(rollout), keys.live_rollouts()),
            # Where it is not needed, a key of ours: no user may touch an empty one.
            *(pending or keys.rollout(rollout), *map(keys.run, runs)),
        )
        answer = self._script(names, what, environment, runs[0], who, why, json.dumps(changes or {}))
        return tuple(cast("list[str]", answer))
