"""Tracker: which step each run is in; the callers of the scripts that move a run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import cast

import redis

from config.fleet import EnvironmentSpec
from tasks.context import Options
from tasks.facts import Facts
from tasks.failure import FailureContext, RunStatus
from tasks.identity import SCHEMA, StepIdentity
from tasks.result import Result
from workers import store
from workers.connection import Script, nonce
from workers.keys import Keys


class StaleError(Exception):
    """A message or an execution is not the run's current one: nothing was recorded, and nothing may be done."""


@dataclass(frozen=True)
class Execution:
    """One start of one step, and all that it needs. name: `RUN.EPOCH.INDEX.ATTEMPT`, also the lease's.

    asked_at: when its lease was asked for, on the monotonic clock. started_at: Unix seconds, by Redis.
    following: the run that goes on after this one's last step, or empty.
    uncertain: nobody knows what the execution before this one has done.
    """

    identity: StepIdentity
    name: str
    attempt: int
    asked_at: float
    started_at: float
    options: Options
    environment: EnvironmentSpec
    following: str
    uncertain: bool
    facts: Facts


@dataclass(frozen=True)
class Place:
    """A run's place to send messages for: from step `index` of `workflow` on."""

    run: str
    token: str
    epoch: int
    delivery: int
    environment: str
    workflow: str
    index: int


class Tracker:
    """Every method is one round trip, and raises redis.RedisError when Redis does not take it."""

    def __init__(self, client: redis.Redis, keys: Keys, *, lease_seconds: float, retention_seconds: int) -> None:
        self._start, self._end, self._fail = (
            Script(client, name, moves_runs=True) for name in ("start", "end", "fail")
        )
        self._keys = keys
        self._lease_seconds = lease_seconds
        self._retention_seconds = retention_seconds

    def start(self, message: StepIdentity, worker: str) -> Execution:
        """Record that the step runs, before its code.

        Raises:
            StaleError: the message is a duplicate, or late.
        """
        asked_at = time.monotonic()
        answer = self._start(
            (*self._moved(message.run, message.environment), self._keys.queues(), self._keys.events()),
            *(nonce(), message.token, str(message.epoch), str(message.index), str(message.delivery)),
            *(message.step, worker, self._lease_seconds, SCHEMA),
        )
        name, attempt, at, options, spec, following, uncertain, *facts = _granted(answer)
        return Execution(
            identity=message,
            name=name,
            attempt=int(attempt),
            asked_at=asked_at,
            started_at=float(at),
            options=Options(**json.loads(options)),
            environment=EnvironmentSpec.model_validate_json(spec),
            following=following,
            uncertain=bool(uncertain),
            facts=store.parse_facts(dict(zip(facts[::2], facts[1::2], strict=True))),
        )

    def end(self, execution: Execution, result: Result) -> Place | None:
        """Record that the step ended well. The place to send messages for, if another run goes on from here.

        Raises:
            StaleError: the execution is no longer the one that runs.
        """
        message = execution.identity
        learned = store.changed_facts(execution.facts, result.facts)
        following = execution.following or message.run
        answer = self._end(
            (
                *self._moved(message.run, message.environment),
                *(self._keys.queues(), self._keys.events()),
                *(self._keys.run(following), self._keys.run_events(following)),
            ),
            *(nonce(), message.token, message.epoch, execution.name, result.ending.value, result.note),
            *(self._retention_seconds, *(word for pair in learned.items() for word in pair)),
        )
        what, *rest = _granted(answer)
        if what != "then":
            return None
        run, token, epoch, delivery, workflow = rest
        return Place(run, token, int(epoch), int(delivery), message.environment, workflow, 1)

    def fail(
        self, context: FailureContext, token: str, execution: str, status: RunStatus, patience: float | None = None
    ) -> tuple[str, ...]:
        """End the run badly at the context's place. The script's answer: `ok`, or a refusal that changed nothing.

        patience: only if the lease has lapsed for so many seconds.
        """
        keys = self._keys
        run, events, environment, _, due, leases = self._moved(context.run_id, context.environment)
        answer = self._fail(
            (run, events, environment, due, leases, keys.events()),
            *(nonce(), token, context.epoch, context.step_index, execution, status.value, context.model_dump_json()),
            *(context.error_kind.value, context.error_summary),
            *("" if patience is None else patience, self._retention_seconds),
        )
        return tuple(cast("list[str]", answer))

    def _moved(self, run: str, environment: str) -> tuple[str, ...]:
        keys = self._keys
        return (
            keys.run(run),
            keys.run_events(run),
            keys.environment(environment),
            keys.facts(environment),
            keys.due(),
            keys.leases(),
        )


def _granted(answer: list[str]) -> list[str]:
    if answer[0] != "ok":
        raise StaleError(" ".join(answer))
    return answer[1:]
