"""What is written down when a rollout begins: its environments, its policy in numbers, its waves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from config import rollout as policies
from config.fleet import EnvironmentSpec
from config.rollout import Policy
from config.schedules import seconds
from tasks.context import Options
from tasks.identity import SCHEMA
from workers.records import RunRecord
from workers.rolloutrecord import Outcome, RolloutStatus
from workers.runtime import Base

_CHUNK = 500
_MOST_KEPT = 1000


@dataclass(frozen=True)
class RolloutRequest:
    """What to roll out. verb: as on the command line, or `resume`. specs: in their order, as declared.

    left_out: those of them that are not to be started, by name.
    runs: what is to go on, of a `resume`, by environment: that run in that epoch, and no other.
    """

    verb: str
    specs: tuple[EnvironmentSpec, ...]
    user: str
    trigger: str
    policy: Policy = field(default_factory=Policy)
    options: Options = field(default_factory=Options)
    left_out: Mapping[str, Outcome] = field(default_factory=dict)
    runs: Mapping[str, RunRecord] = field(default_factory=dict)

    @property
    def to_start(self) -> tuple[EnvironmentSpec, ...]:
        """Those that are not left out. They come last: what is left out takes no place in a canary or a batch."""
        return tuple(spec for spec in self.specs if spec.name not in self.left_out)


class Claim(NamedTuple):
    """By whose leave a rollout is written down.

    lock, token: a key, and what it must hold. owner, fields: a hash that must be there, and where in it the id is put.
    """

    lock: str
    token: str
    owner: str
    fields: tuple[str, ...]


def write(base: Base, rollout: str, request: RolloutRequest, claim: Claim | None = None) -> bool:
    """Write a rollout down, paused: nobody starts an environment of it before all of it is there.

    Whether that was done: not if `claim` does not hold any more; what was written until then means nothing.

    Raises:
        redis.RedisError: Redis does not answer. What was written is forgotten after the retention, or can be cancelled.
    """
    environments = _write_environments(base, rollout, request)
    keys, fields, at = base.keys, _fields(base, rollout, request), base.now()
    left_out = {name: outcome.model_dump_json() for name, outcome in request.left_out.items()}

    def complete(pipe: Any) -> None:
        if pipe.exists(keys.rollout(rollout)):  # the reply was lost
            return
        # What has not ended is never too old.
        live, old = pipe.smembers(keys.live_rollouts()), pipe.zrange(keys.rollouts(), 0, -_MOST_KEPT)
        if claim and (pipe.get(claim.lock) != claim.token or not pipe.exists(claim.owner)):
            return
        pipe.multi()
        if claim:
            pipe.hset(claim.owner, mapping=dict.fromkeys(claim.fields, rollout))
        if left_out:
            pipe.hset(keys.rollout_outcomes(rollout), mapping=left_out)
        pipe.hset(keys.rollout(rollout), mapping=fields)
        for key in environments:  # they live as long as it goes on
            pipe.persist(key)
        pipe.zadd(keys.rollouts(), {rollout: at})
        if ended := [each for each in old if each not in live]:
            pipe.zrem(keys.rollouts(), *ended)
        pipe.sadd(keys.live_rollouts(), rollout)

    base.client.transaction(complete, keys.rollout(rollout), *((claim.lock, claim.owner) if claim else ()))
    return bool(base.client.exists(keys.rollout(rollout)))


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


def run_field(environment: str) -> str:
    """Where among the specs the run of an environment stands that is to go on; no environment is called so."""
    return f"run:{environment}"


def run_in_epoch(record: RunRecord) -> str:
    """What stands there: `RUN EPOCH`."""
    return f"{record.run} {record.epoch}"


def _write_environments(base: Base, rollout: str, request: RolloutRequest) -> list[str]:
    """Write them under keys that are forgotten after the retention; gives these keys."""
    placed = list(enumerate(request.to_start, len(request.left_out) + 1))
    keys = {base.keys.rollout_specs(rollout)}
    for start in range(0, len(placed), _CHUNK):
        pipe = base.client.pipeline(transaction=False)
        for place, spec in placed[start : start + _CHUNK]:
            pending = base.keys.rollout_pending(rollout, spec.provider.name)
            keys.add(pending)
            pipe.zadd(pending, {spec.name: place})
            pipe.hset(base.keys.rollout_specs(rollout), spec.name, spec.model_dump_json())
            if run := request.runs.get(spec.name):
                pipe.hset(base.keys.rollout_specs(rollout), run_field(spec.name), run_in_epoch(run))
        for key in sorted(keys):
            pipe.expire(key, base.retention_seconds)
        pipe.execute()
    return sorted(keys)


def _fields(base: Base, rollout: str, request: RolloutRequest) -> dict[Any, Any]:
    total, left_out, policy = len(request.specs), len(request.left_out), request.policy
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
        "drafted": 1,
        "left_out": left_out,
        "left_out_before": left_out,
        **policy_fields(policy, total),
        **_waves(policy, total, left_out),
    }


def _waves(policy: Policy, total: int, left_out: int) -> dict[str, str | int]:
    """The canary if there is one, then batches; a part of a few environments is one of them at least.

    left_out: so many places are taken before them.
    """
    canary = max(1, policies.count(policy.canary.size, total)) if policy.canary else 0
    batch = max(1, policies.count(policy.batch, total)) if policy.batch else 0
    return {
        "canary": canary,
        "canary_then": policy.canary.then if policy.canary else "",
        "batch": batch,
        "wave": 1,
        "wave_end": min(total, left_out + (canary or batch or total)),
    }
