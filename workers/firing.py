"""Firing: what becomes of a schedule whose time has come. It begins one rollout, however often it is delivered.

Beat notes a firing in a sorted set before it sends the message. Whoever has dealt with it takes it out; the reaper
sends again what stays.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from typing import Any, cast

import redis
from celery import Celery, current_app, shared_task
from kombu.exceptions import OperationalError
from redis.exceptions import LockError

from tasks.jobs import JOBS
from tasks.workflows.model import Queue
from workers import jobs, readiness, runtime, verbs
from workers.firingrecord import SCHEDULED, Due, Firing, Outcome
from workers.refusals import NotFoundError, RefusedError
from workers.rolloutdraft import Claim, RolloutRequest
from workers.rolloutrecord import RolloutStatus
from workers.rollouts import Rollouts
from workers.runtime import Base
from workers.schedule import BEGUN, FIRE, ScheduleRecord, Schedules

logger = logging.getLogger(__name__)

# Less late is not missed: a standby beat takes over in that time, and a message finds its worker.
LATE_SECONDS = 300.0
# Whoever began to deal with a firing and has not ended in this time, is dead. Two of these, and it is not late yet.
_LOCK_SECONDS = 100
_PATIENCE_SECONDS = 5.0
_AGAIN_SECONDS = 60.0
_SELDOM_SECONDS = 600.0
# A firing that waits for another one, or for its rollout, is looked after so often.
_WAIT_SECONDS = 10.0
# And for as long as a missed time is made up for.
_DONE_SECONDS = 3600
_KEPT = 50
_PAGE = 200
_LACKING = "lacking"


class Firings:
    """Notes and sends firings, and deals with them. Any process may do any of it."""

    def __init__(self, base: Base, app: Celery) -> None:
        self._base = base
        self._app = app
        self._keys = base.keys
        self._schedules = Schedules(base.client, base.keys)
        self._rollouts = Rollouts(base, app)

    def note(self, due: Due) -> None:
        """Write it down: from here on it is dealt with, whoever dies. Doing it again changes nothing."""
        self._base.client.zadd(self._keys.firings(), {str(due): self._base.now() + _AGAIN_SECONDS}, nx=True)

    def send(self, due: Due) -> None:
        """Have a worker deal with it.

        Raises:
            kombu.exceptions.OperationalError: the broker does not take the message; the reaper sends it again.
        """
        self._app.send_task(FIRE, args=(due.schedule, due.at, due.by), queue=Queue.WAIT.value)

    def send_again(self, now: float) -> None:
        """Send those that nobody has dealt with, each after a longer time: many messages would help no more."""
        members = cast("list[str]", self._base.client.zrangebyscore(self._keys.firings(), "-inf", now, 0, _PAGE))
        for member in members:
            due = Due.parse(member)
            pause = min(max(_AGAIN_SECONDS, now - due.at), _SELDOM_SECONDS)
            self._base.client.zadd(self._keys.firings(), {member: now + pause}, xx=True)
            try:
                self.send(due)
            except OperationalError as error:
                logger.warning("The firing %s cannot be sent: %s", due, error)

    def fire(self, due: Due) -> Firing | None:
        """Begin a rollout of a schedule's workflow over what it selects, once, or leave it out.

        None: that was done before, or the schedule is not there any more, or was removed since it was noted.
        An environment whose workers lack something is left out of the rollout, as is one that it cannot launch later;
        `stepmark status` says so until the schedule is fired again.
        """
        lock = self._base.client.lock(
            self._keys.schedule_lock(due.schedule), timeout=_LOCK_SECONDS, blocking=False, thread_local=False
        )
        token = secrets.token_hex(16)
        # Whoever fires it by hand is told what came of it, and so waits for another one who does just then.
        if not lock.acquire(token=token, blocking=bool(due.by), blocking_timeout=_PATIENCE_SECONDS):
            self._put_off(due)
            return self._firing(due, Outcome.WAITING, reason="another firing of it is just being dealt with")
        try:
            firing = self._fire(due, token)
        finally:
            with suppress(LockError):  # it took longer: somebody else may be at it
                lock.release()
        if firing and firing.rollout:
            self._start(firing.rollout)
        return firing

    def _start(self, rollout: str) -> None:
        """Start what may start now. The firing has been dealt with: what is not done here the reaper does."""
        try:
            while self._rollouts.advance(rollout):
                pass
        except redis.RedisError as error:
            logger.warning("Rollout %s is advanced later, by a reaper: %s", rollout, error)

    def _fire(self, due: Due, token: str) -> Firing | None:
        record = self._schedules.get(due.schedule)
        if record is None:
            self._schedules.remove(due.schedule)  # what was written while it was removed
        if record is None or not self._open(due):
            self._base.client.zrem(self._keys.firings(), str(due))
            return None
        firing = self._deal_with(record, due, token)
        if firing is None:
            return None
        if firing.outcome is Outcome.WAITING:
            self._base.client.hset(self._keys.schedule(due.schedule), "waiting", str(due))
            self._put_off(due)
            if not self._base.client.sismember(self._keys.schedules(), due.schedule):  # it was removed meanwhile
                self._schedules.remove(due.schedule)
        else:
            self._keep(record, due, firing)
        return firing

    def _open(self, due: Due) -> bool:
        """Whether it is noted, and not dealt with. What is noted no more was so when its schedule was removed."""
        pipe = self._base.client.pipeline()
        pipe.zscore(self._keys.firings(), str(due))
        pipe.exists(self._keys.firing(due.schedule, due.mark))
        noted, done = pipe.execute()
        return noted is not None and not done

    def _put_off(self, due: Due) -> None:
        self._base.client.zadd(self._keys.firings(), {str(due): self._base.now() + _WAIT_SECONDS}, xx=True)

    def _deal_with(self, record: ScheduleRecord, due: Due, token: str) -> Firing | None:
        """What becomes of it; None: the lock was lost to somebody else meanwhile, or the schedule was removed."""
        schedule, rollout = record.schedule, self._drafted(due)
        if rollout:
            return self._let_go(due, rollout)
        outcome, reason = self._objection(record, due)
        if reason:
            logger.warning("Schedule %s is %s: %s", schedule.name, outcome.value, reason)
            return self._firing(due, outcome, reason=reason)
        if schedule.workflow in JOBS:
            job = self._app.send_task(JOBS[schedule.workflow], task_id=jobs.task_id(due)).id
            return self._firing(due, Outcome.LAUNCHED, job=job)
        rollout = self._draft(record, due, token)
        return self._let_go(due, rollout) if rollout else None

    def _objection(self, record: ScheduleRecord, due: Due) -> tuple[Outcome, str]:
        """Why nothing is to be launched now; an empty reason: it is."""
        if record.paused and not due.by:
            return Outcome.LEFT_OUT, f"paused by {record.paused.by}"
        waits = record.waiting == str(due)
        late = self._base.now() - record.timetable.due_at(due.at)
        if late > max(LATE_SECONDS, record.schedule.late_seconds) and not waits and not due.by:
            return Outcome.LEFT_OUT, f"missed: nobody fired it for {late / 60:.0f} minutes"
        if record.schedule.overlap == "allow":
            return Outcome.LAUNCHED, ""
        if not waits and self._pending(record.waiting):
            return Outcome.LEFT_OUT, "another firing of it waits already"
        reason = self._going(due.schedule)
        if not reason:
            return Outcome.LAUNCHED, ""
        return Outcome.WAITING if record.schedule.overlap == "queue" else Outcome.LEFT_OUT, reason

    def _pending(self, member: str | None) -> bool:
        return member is not None and self._base.client.zscore(self._keys.firings(), member) is not None

    def _going(self, name: str) -> str:
        """How the last rollout of the schedule goes on, a paused one too; empty: it has ended."""
        rollout = cast("str | None", self._base.client.hget(self._keys.schedule(name), "running"))
        if rollout is None:
            return ""
        try:
            record = self._rollouts.store.rollout(rollout)
        except NotFoundError:  # past its retention
            return ""
        except RefusedError as error:
            return str(error)
        if record.over:
            return ""
        how = "goes on"
        if record.status is RolloutStatus.PAUSED and record.changed_by:
            how = f"is paused by {record.changed_by}: {record.reason or 'no reason given'}"
        return f"rollout {rollout}, which an earlier firing began, {how}"

    def _drafted(self, due: Due) -> str | None:
        """The rollout that was written down for this very firing, by somebody who has died since."""
        return cast("str | None", self._base.client.hget(self._keys.schedule(due.schedule), _begun(due)))

    def _draft(self, record: ScheduleRecord, due: Due, token: str) -> str | None:
        """Write its rollout down, and in the same breath its id: whoever dies, the next one finds both or none.

        None: somebody else has the lock by now, or the schedule was removed.
        """
        request, rollout, name = self._request(record, due), self._rollouts.new_id(), due.schedule
        fields = (_begun(due), "running")
        claim = Claim(self._keys.schedule_lock(name), token, self._keys.schedule(name), fields)
        return rollout if self._rollouts.draft(rollout, request, claim) else None

    def _request(self, record: ScheduleRecord, due: Due) -> RolloutRequest:
        """The rollout over all that is selected, without those whose workers lack something."""
        schedule, specs = record.schedule, self._schedules.specs(due.schedule)
        wanted = {
            spec.name: readiness.wanted(self._base, spec, verbs.workflows(schedule.workflow, spec)) for spec in specs
        }
        ready = readiness.ask(self._base, self._app, frozenset().union(*wanted.values()))
        for warning in ready.warnings():
            logger.warning("Schedule %s: %s", schedule.name, warning)
        return RolloutRequest(
            verb=schedule.workflow,
            specs=specs,
            user=_user(due),
            trigger=f"{SCHEDULED}{schedule.name}",
            policy=record.policy,
            left_out=ready.left_out(wanted),
        )

    def _let_go(self, due: Due, rollout: str) -> Firing:
        """Have its rollout begin, if it has not."""
        self._rollouts.let_go(rollout, _user(due))
        record = self._rollouts.store.rollout(rollout)
        outcomes = self._rollouts.store.outcomes(rollout) if record.left_out else {}
        left_out = {name: each.reason for name, each in outcomes.items() if each.kind == _LACKING}
        outcome = Outcome.LEFT_OUT if len(left_out) == record.total else Outcome.LAUNCHED
        return self._firing(due, outcome, rollout=rollout, environments=record.total, left_out=left_out)

    def _firing(self, due: Due, outcome: Outcome, **more: object) -> Firing:
        values = {"schedule": due.schedule, "at": due.at, "fired_at": self._base.now(), "by": due.by or None}
        return Firing.model_validate({**values, "outcome": outcome, **more})

    def _keep(self, record: ScheduleRecord, due: Due, firing: Firing) -> None:
        """Write down what became of it, unless somebody else has; of old firings the rollouts go too."""
        keys, name = self._keys, due.schedule
        done, fields = keys.firing(name, due.mark), [_begun(due)]
        if record.waiting == str(due):
            fields.append("waiting")

        def write(pipe: Any) -> None:
            again = pipe.exists(done)
            pipe.multi()
            if not again:
                pipe.lpush(keys.schedule_firings(name), firing.model_dump_json())
                pipe.set(done, verbs.whoami(), ex=_DONE_SECONDS + record.schedule.late_seconds)
            pipe.zrem(keys.firings(), str(due))
            pipe.hdel(keys.schedule(name), *fields)
            pipe.lrange(keys.schedule_firings(name), _KEPT, -1)
            pipe.ltrim(keys.schedule_firings(name), 0, _KEPT - 1)
            pipe.sismember(keys.schedules(), name)

        *_, oldest, _, there = cast("list[Any]", self._base.client.transaction(write, done))
        for rollout in filter(None, (Firing.model_validate_json(text).rollout for text in oldest)):
            self._rollouts.forget(rollout)
        if not there:  # it was removed meanwhile
            self._schedules.remove(name)


def _begun(due: Due) -> str:
    """The field of its schedule in which the id of its rollout is, until it has been dealt with."""
    return f"{BEGUN}{due.mark}"


def _user(due: Due) -> str:
    return due.by or verbs.whoami()


@shared_task(name=FIRE)
def fire(name: str, at: float, by: str = "") -> None:
    """Deal with a firing: as `Firings.fire`."""
    Firings(runtime.base_of_process(), current_app).fire(Due(name, at, by))
