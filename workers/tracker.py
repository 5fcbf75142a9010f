"""Tracker: which step each run is in; the callers of the scripts that move a run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import cast

import redis

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks.context import Options
from tasks.facts import Facts
from tasks.failure import FailureContext, RunStatus
from tasks.identity import SCHEMA, StepIdentity
from tasks.result import Drift, Result
from workers import store
from workers.connection import Script, nonce
from workers.keys import Keys, moved
from workers.post import Letter
from workers.records import RunRecord

Answer = tuple[str, ...]
"""A script's answer: its first word says what it is."""


class StaleError(Exception):
    """A message or an execution is not the run's current one: nothing was recorded, and nothing may be done."""


@dataclass(frozen=True)
class Execution:
    """One start of one step, and all that it needs. name: `RUN.EPOCH.INDEX.ATTEMPT.DRAW`, also the lease's.

    asked_at: when its lease was asked for, on the monotonic clock. started_at: Unix seconds, by Redis.
    following: the run that goes on after this one's last step, or empty.
    uncertain: nobody knows what the execution before this one has done. deadline_at: the run's own, by Redis.
    skip: why an operator leaves this step out, or empty. workspace: the digest of what is kept of it, or empty.
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
    deadline_at: float | None
    skip: str
    workspace: str
    facts: Facts


@dataclass(frozen=True)
class Kept:
    """What a step leaves beside its result, to be kept in the same breath.

    digest: its workspace's, if that is not as it was. archive: of that, sealed; empty: nothing is in it any more.
    lines: the last ones of its log. letter: the message of the next step, if the chain goes on.
    """

    digest: str = ""
    archive: str = ""
    lines: str = ""
    letter: Letter | None = None


_NOTHING = Kept()


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


@dataclass(frozen=True)
class Slot:
    """The slot that an environment holds in a rollout for as long as its run goes on."""

    rollout: str
    environment: str


class Why(StrEnum):
    """Why a live run goes on under a new epoch."""

    RETRY = "retry"
    TAKEN_OVER = "taken-over"
    HANDED_OVER = "handed-over"
    SENT_AGAIN = "sent-again"


@dataclass(frozen=True)
class Ended:
    """What `fail` is told beside the context. execution: empty if the step was due and never started.

    following: the run that was to follow, or the run itself.

    retry_seconds: until it is tried again; None: never. most: how often at most it is tried.
    uncertain: nobody knows what the step has done. hold_seconds: for so long its tools may still be ending.
    patience_seconds: only if the lease lapsed so long ago.
    """

    token: str
    execution: str
    status: RunStatus
    following: str
    retry_seconds: float | None = None
    most: int = 1
    uncertain: bool = False
    hold_seconds: float = 0.0
    patience_seconds: float | None = None


class Tracker:
    """Every method is one round trip, and raises redis.RedisError when Redis does not take it."""

    def __init__(self, client: redis.Redis, keys: Keys, settings: Settings) -> None:
        self._start, self._end, self._fail, self._again, self._cancel = (
            Script(client, name, moves_runs=True) for name in ("start", "end", "fail", "again", "cancel")
        )
        self._keys = keys
        self._settings = settings

    def start(self, message: StepIdentity, worker: str) -> Execution:
        """Record that the step runs, before its code.

        Raises:
            StaleError: the message is a duplicate, or late.
        """
        asked_at, keys = time.monotonic(), self._keys
        answer = self._start(
            (*moved(keys, message.run, message.environment), keys.server(), keys.workspace(message.environment)),
            *(nonce(), message.token, str(message.epoch), str(message.index), str(message.delivery)),
            *(message.step, worker, self._settings.lease_seconds, SCHEMA, self._settings.takeover_seconds),
        )
        name, attempt, at, options, spec, following, uncertain, deadline, skip, workspace, *facts = _granted(answer)
        return Execution(
            identity=message,
            name=name,
            attempt=int(attempt),
            asked_at=asked_at,
            started_at=float(at),
            options=Options(**json.loads(options)),
            environment=_environment(spec),
            following=following,
            uncertain=bool(uncertain),
            deadline_at=float(deadline) if deadline else None,
            skip=skip,
            workspace=workspace,
            facts=store.parse_facts(dict(zip(facts[::2], facts[1::2], strict=True))),
        )

    def end(self, execution: Execution, result: Result, once: str = "", kept: Kept = _NOTHING) -> Place | Slot | None:
        """Record that the step ended well. The place to send messages for, if another run goes on from here.

        Or the slot that is free now, if it was the last step of a rollout's run.
        once: a nonce; asked again with the same one, it answers the same. Empty: one is drawn.
        kept: what the step leaves beside its result.

        Raises:
            StaleError: the execution is no longer the one that runs.
        """
        message = execution.identity
        learned = store.changed_facts(execution.facts, result.facts)
        following = execution.following or message.run
        answer = self._end(
            (
                *moved(self._keys, message.run, message.environment),
                *(self._keys.run(following), self._keys.run_events(following), self._keys.server()),
                *(self._keys.workspace(message.environment), self._keys.log(message.run)),
                *((self._keys.queue(kept.letter.queue),) if kept.letter else ()),
            ),
            *(once or nonce(), message.token, message.epoch, execution.name, result.ending.value, result.note),
            *(self._settings.retention_seconds, _drift(result.drift), kept.digest, kept.archive, kept.lines),
            kept.letter.text if kept.letter else "",
            *(word for pair in learned.items() for word in pair),
        )
        what, *rest = _granted(answer)
        if what != "then":
            return Slot(rest[0], message.environment) if rest else None
        run, token, epoch, delivery, workflow = rest
        return Place(run, token, int(epoch), int(delivery), message.environment, workflow, 1)

    def fail(self, context: FailureContext, ended: Ended, once: str) -> Answer:
        """End the run badly at the context's place, or have the step tried again.

        once: as for `end`. The answer: `ok STATUS`, or a refusal that changed nothing.
        """
        request = {
            "token": ended.token,
            "epoch": str(context.epoch),
            "index": str(context.step_index),
            "execution": ended.execution,
            "status": ended.status.value,
            "context": context.model_dump_json(),
            "kind": context.error_kind.value,
            "summary": context.error_summary,
            "trace": context.trace_id,
            "retry": "" if ended.retry_seconds is None else ended.retry_seconds,
            "most": ended.most,
            "uncertain": ended.uncertain,
            "hold": ended.hold_seconds,
            "patience": "" if ended.patience_seconds is None else ended.patience_seconds,
            "retention": self._settings.retention_seconds,
        }
        keys = (
            *moved(self._keys, context.run_id, context.environment),
            *(self._keys.run(ended.following), self._keys.server()),
        )
        return tuple(cast("list[str]", self._fail(keys, once, json.dumps(request))))

    def again(
        self,
        record: RunRecord,
        why: Why,
        *,
        patience_seconds: float | None,
        limit: int = 0,
        lost: FailureContext | None = None,
    ) -> Answer:
        """Begin a new epoch of a live run at its tracked step. `ok EPOCH DELIVERY`, or a refusal that changed nothing.

        limit: how often the step may be taken over, or sent again. lost: of the execution before, for its history.
        """
        earlier = {}
        if lost:
            earlier = {"kind": lost.error_kind, "summary": lost.error_summary, "trace_id": lost.trace_id}
        answer = self._again(
            (*moved(self._keys, record.run, record.environment), self._keys.server()),
            *(nonce(), record.token, record.epoch, record.index or 1, record.execution or "", why.value),
            *("" if patience_seconds is None else patience_seconds, limit, json.dumps(earlier) if earlier else ""),
            self._settings.quiet_seconds,
        )
        return tuple(cast("list[str]", answer))

    def cancel(self, record: RunRecord, user: str, reason: str) -> Answer:
        """Have a live run end: `ok STATUS`, where it was; or a refusal."""
        answer = self._cancel(moved(self._keys, record.run, record.environment), user, reason)
        return tuple(cast("list[str]", answer))


@lru_cache(maxsize=256)
def _environment(spec: str) -> EnvironmentSpec:
    """What is declared. All steps of a run are told the same, and reading it takes as long as the round trip."""
    return EnvironmentSpec.model_validate_json(spec)


def _drift(found: Drift | None) -> str:
    return "" if found is None else json.dumps({**found.counts.model_dump(), "summary": found.summary})


def _granted(answer: list[str]) -> list[str]:
    if answer[0] != "ok":
        raise StaleError(" ".join(answer))
    return answer[1:]
