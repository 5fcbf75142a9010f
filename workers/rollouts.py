"""Rollouts: one execution of a workflow over many environments, under a policy.

The end of each run starts the next environments; the reaper finds what nobody has started. What may start, and that an
environment starts once, is decided by the scripts `launch` and `rollout`.
"""

from __future__ import annotations

import logging
from bisect import bisect
from collections.abc import Iterator, Mapping
from typing import Any, cast

from celery import Celery
from kombu.exceptions import OperationalError

from config.fleet import EnvironmentSpec
from tasks.errors import StepmarkError
from tasks.failure import RunStatus
from workers import launch, rolloutdraft, rolloutrecord, verbs
from workers.launch import Launcher, Request, Resumption
from workers.refusals import BusyError, HeldError, NotFoundError, RefusedError, SlotError
from workers.rolloutdraft import Claim, RolloutRequest
from workers.rolloutrecord import Outcome, RolloutRecord, RolloutStatus
from workers.rolloutscript import RolloutScript
from workers.rolloutstore import RolloutStore
from workers.runtime import Base
from workers.tracker import Answer, Slot

logger = logging.getLogger(__name__)

RESUME = "resume"
"""The verb of a rollout that has the last run of each environment go on where it failed."""

# Beyond those that may start: some cannot start at this moment.
_MORE = 10
# A reaper that starts many has other work too: it goes on a second later.
_AT_ONCE = 200
_PAGE = 200


class Rollouts:
    """Begins rollouts, starts their environments, and changes their course. Any process may do any of it."""

    def __init__(self, base: Base, app: Celery) -> None:
        self._base = base
        self._keys = base.keys
        self._say = RolloutScript(base.client, base.keys).say
        self._launcher = Launcher(base, app)
        self._last_seen: dict[str, str] = {}
        self.store = RolloutStore(base.client, base.keys)

    def begin(self, request: RolloutRequest) -> str:
        """Write a rollout down, and let it go; gives its id. Its first environments are started by `advance`.

        Whoever dies meanwhile leaves a paused rollout, to resume or to cancel.
        """
        rollout = self.new_id()
        self.draft(rollout, request)
        self.let_go(rollout, request.user)
        return rollout

    def new_id(self) -> str:
        """The id of a rollout that is to be written down."""
        return "r" + launch.new_run_ids(self._base.client.time(), 1)[0]

    def draft(self, rollout: str, request: RolloutRequest, claim: Claim | None = None) -> bool:
        """The first half of `begin`: write a rollout down; as `rolloutdraft.write`."""
        for name, outcome in request.left_out.items():
            logger.warning("Rollout %s leaves out %s: %s", rollout, name, outcome.reason)
        return rolloutdraft.write(self._base, rollout, request, claim)

    def let_go(self, rollout: str, by: str) -> Answer:
        """The other half. Said again it changes nothing, also if the rollout has been paused since."""
        return self._say(rollout, "begin", who=by)

    def advance(self, rollout: str) -> int:
        """Start as many environments as may start now; gives how many.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if self._base.client.exists(self._keys.paused()):
            return 0
        record = self.store.rollout(rollout)
        if record.status is not RolloutStatus.RUNNING:
            return 0
        return sum(self._start_some(record, provider) for provider in record.providers)

    def free(self, slot: Slot) -> None:
        """A run has ended: what became of it is kept, and the next environments start.

        Raises:
            redis.RedisError: Redis does not answer; the reaper finds it later.
        """
        if self._settle(slot.rollout, slot.environment):
            self.advance(slot.rollout)

    def look(self, rollout: str) -> None:
        """What nobody has done: free the slots of runs that ended, keep the deadline, start what may start.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        record = self.store.rollout(rollout)
        for environment in self._ended(rollout):
            self._settle(rollout, environment)
        if record.deadline_at is not None and self._base.now() >= record.deadline_at:
            self.pause(rollout, "the deadline", "its time is over")
        self.advance(rollout)

    def pause(self, rollout: str, by: str, reason: str) -> Answer:
        """Nothing new starts; what runs goes on to its end."""
        return self._say(rollout, "pause", who=by, why=reason)

    def resume(self, rollout: str, by: str, reason: str, changes: Mapping[str, Any] | None = None) -> Answer:
        """Have a paused rollout go on; what is tolerated and its deadline begin anew. changes: fields of its hash."""
        return self._say(rollout, "resume", who=by, why=reason, changes=changes or {})

    def cancel(self, rollout: str, by: str, reason: str) -> Answer:
        """Nothing new starts ever; what runs goes on to its end."""
        return self._say(rollout, "cancel", who=by, why=reason)

    def forget(self, rollout: str) -> None:
        """Drop a rollout with all that is kept of it; one that goes on, or that another version keeps, stays."""
        record = self.store.some([rollout]).get(rollout)
        if record is None or not record.over:
            return
        keys = self._keys
        pending = [keys.rollout_pending(rollout, name) for name in record.providers]
        parts = (keys.rollout_events, keys.rollout_slots, keys.rollout_outcomes, keys.rollout_specs)
        pipe = self._base.client.pipeline()
        pipe.unlink(keys.rollout(rollout), *pending, *(part(rollout) for part in parts))
        pipe.zrem(keys.rollouts(), rollout)
        pipe.execute()

    def _start_some(self, record: RolloutRecord, provider: str) -> int:
        free, started = min(record.free(provider), _AT_ONCE), 0
        for spec in self._candidates(record, provider, free):
            if started == free:
                break
            try:
                started += self._start(record, spec)
            except SlotError as error:
                if error.problem not in ("started", "another wave"):
                    break
        return started

    def _candidates(self, record: RolloutRecord, provider: str, free: int) -> Iterator[EnvironmentSpec]:
        if not free:
            return
        pending = self._keys.rollout_pending(record.rollout, provider)
        client = self._base.client
        names = cast("list[str]", client.zrangebyscore(pending, "-inf", record.wave_end, 0, free + _MORE))
        specs = cast(
            "list[str | None]", names and self._base.client.hmget(self._keys.rollout_specs(record.rollout), names)
        )
        yield from (EnvironmentSpec.model_validate_json(spec) for spec in specs if spec)

    def _start(self, record: RolloutRecord, spec: EnvironmentSpec) -> bool:
        """Whether it has been started.

        Raises:
            SlotError: it may not start now, or has been.
        """
        try:
            if record.verb == RESUME:
                self._resume_last(record, spec)
            else:
                self._launcher.launch(self._request(record, spec))
        except OperationalError as error:
            logger.warning(
                "%s of rollout %s is due, but its messages cannot be sent: %s", spec.name, record.rollout, error
            )
        except SlotError:
            raise
        except StepmarkError as error:
            if not self._passes(error):
                self._leave_out(record.rollout, spec, rolloutrecord.left_out(error))
            return False
        return True

    def _request(self, record: RolloutRecord, spec: EnvironmentSpec) -> Request:
        workflows = verbs.workflows(record.verb, spec)
        return Request(spec, workflows, record.user, _trigger(record), record.options, rollout=record.rollout)

    def _resume_last(self, record: RolloutRecord, spec: EnvironmentSpec) -> None:
        last = self._base.store.environment(spec.name).last_run
        if last is None:
            raise NotFoundError(f"run of {spec.name} to go on with")
        run = self._base.store.run(last)
        specs, field = self._keys.rollout_specs(record.rollout), rolloutdraft.run_field(spec.name)
        meant = cast("str | None", self._base.client.hget(specs, field))
        if meant not in (None, rolloutdraft.run_in_epoch(run)):
            problem = f"{spec.name} has gone on since the rollout began: {run.workflow} {run.display}"
            raise RefusedError(problem, f"`stepmark show {spec.name}` shows it")
        self._launcher.resume(run, Resumption(spec=spec, rollout=record.rollout), record.user)

    def _passes(self, error: StepmarkError) -> bool:
        """Whether the refusal passes by itself: a lost run holds the environment, or its tools are still ending."""
        if isinstance(error, BusyError):
            return self._base.store.run(error.run).display is RunStatus.LOST
        return isinstance(error, HeldError)

    def _leave_out(self, rollout: str, spec: EnvironmentSpec, outcome: Outcome) -> None:
        logger.warning("Rollout %s leaves out %s: %s", rollout, spec.name, outcome.reason)
        pending = self._keys.rollout_pending(rollout, spec.provider.name)
        self._say(rollout, "left-out", spec.name, pending=pending, why=outcome.model_dump_json())

    def _settle(self, rollout: str, environment: str) -> bool:
        """Free the slot of an environment whose run has ended; whether that was done now."""
        held = cast("str | None", self._base.client.hget(self._keys.rollout_slots(rollout), environment))
        if held is None:
            return False
        run = held.split()[0]
        following = cast("str | None", self._base.client.hget(self._keys.run(run), "next")) or run
        return self._say(rollout, "ended", environment, runs=(run, following))[0] == "ok"

    def _ended(self, rollout: str) -> tuple[str, ...]:
        """The environments in slots whose run does not go on any more: of a page of them, at the next look the next."""
        every = self.store.slots(rollout)
        names = sorted(every)
        offset = bisect(names, self._last_seen.pop(rollout, ""))
        slots = {name: every[name] for name in names[offset : offset + _PAGE]}
        if offset + _PAGE < len(names):
            self._last_seen[rollout] = max(slots)
        runs = self._base.store.glances(slots.values())
        following = self._base.store.glances(run.next for run in runs.values() if run.next and not run.live)
        live = {run.environment for run in (*runs.values(), *following.values()) if run.live}
        return tuple(name for name in slots if name not in live)


def free(base: Base, app: Celery, slot: Slot) -> None:
    """As `Rollouts.free`, for whoever has just ended a run: what cannot be done now is the reaper's to do."""
    try:
        Rollouts(base, app).free(slot)
    except Exception:  # whatever it was, the run itself has ended as it is recorded
        logger.warning("Rollout %s did not hear of %s", slot.rollout, slot.environment, exc_info=True)


def _trigger(record: RolloutRecord) -> str:
    return f"{record.trigger}, rollout {record.rollout}"
