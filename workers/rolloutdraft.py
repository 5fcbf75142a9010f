"""What is written down when a rollout begins: its environments, its policy in numbers, its waves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config import rollout as policies
from config.fleet import EnvironmentSpec
from config.rollout import Policy
from config.schedules import seconds
from tasks.context import Options
from tasks.identity import SCHEMA
from workers.rolloutrecord import Outcome, RolloutStatus
from workers.runtime import Base

_CHUNK = 500
_MOST_KEPT = 1000


@dataclass(frozen=True)
class RolloutRequest:
    """What to roll out. verb: as on the command line, or `resume`. specs: in their order, as declared.

    left_out: those of them that are not to be started, by name.
    """

    verb: str
    specs: tuple[EnvironmentSpec, ...]
    user: str
    trigger: str
    policy: Policy = field(default_factory=Policy)
    options: Options = field(default_factory=Options)
    left_out: Mapping[str, Outcome] = field(default_factory=dict)


def write(base: Base, rollout: str, request: RolloutRequest) -> None:
    """Write a rollout down, paused: nobody starts an environment of it before all of it is there.

    Raises:
        redis.RedisError: Redis does not answer. What was written is forgotten after the retention, or can be cancelled.
    """
    _write_environments(base, rollout, request.specs)
    pipe = base.client.pipeline()
    pipe.hset(base.keys.rollout(rollout), mapping=_fields(base, rollout, request))
    pipe.zadd(base.keys.rollouts(), {rollout: base.now()})
    pipe.zremrangebyrank(base.keys.rollouts(), 0, -_MOST_KEPT - 1)
    pipe.sadd(base.keys.live_rollouts(), rollout)
    pipe.execute()


def policy_fields(policy: Policy, total: int) -> dict[str, str | float]:
    """What of a policy can be changed while a rollout goes on, as fields of its hash. total: environments."""
    rules = [
        {"step": rule.step or "", "kind": rule.kind or "", "failures": policies.count(rule.failures, total)}
        for rule in policy.budget.rules
    ]
    return {
        "max_parallel": policy.max_parallel,
        "per_provider": json.dumps(dict(policy.per_provider)),
        "rules": json.dumps(rules),
        "deadline_seconds": seconds(policy.deadline) if policy.deadline else "",
    }


def _write_environments(base: Base, rollout: str, specs: tuple[EnvironmentSpec, ...]) -> None:
    placed = list(enumerate(specs, 1))
    keys = {base.keys.rollout_specs(rollout)}
    for start in range(0, len(placed), _CHUNK):
        pipe = base.client.pipeline(transaction=False)
        for place, spec in placed[start : start + _CHUNK]:
            pending = base.keys.rollout_pending(rollout, spec.provider.name)
            keys.add(pending)
            pipe.zadd(pending, {spec.name: place})
            pipe.hset(base.keys.rollout_specs(rollout), spec.name, spec.model_dump_json())
        for key in sorted(keys):
            pipe.expire(key, base.retention_seconds)
        pipe.execute()


def _fields(base: Base, rollout: str, request: RolloutRequest) -> dict[Any, Any]:
    total, policy = len(request.specs), request.policy
    return {
        "rollout": rollout,
        "schema": SCHEMA,
        "verb": request.verb,
        "user": request.user,
        "trigger": request.trigger,
        "options": json.dumps(dataclasses.asdict(request.options)),
        "created_at": base.now(),
        "retention": base.retention_seconds,
        "total": total,
        "providers": json.dumps(sorted({spec.provider.name for spec in request.specs})),
        "status": RolloutStatus.PAUSED.value,
        "reason": "it is being written down",
        **policy_fields(policy, total),
        **_waves(policy, total),
    }


def _waves(policy: Policy, total: int) -> dict[str, str | int]:
    """The canary if there is one, then batches; a part of a few environments is one of them at least."""
    canary = max(1, policies.count(policy.canary.size, total)) if policy.canary else 0
    batch = max(1, policies.count(policy.batch, total)) if policy.batch else 0
    return {
        "canary": canary,
        "canary_then": policy.canary.then if policy.canary else "",
        "batch": batch,
        "wave": 1,
        "wave_end": min(total, canary or batch or total),
    }
