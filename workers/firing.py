"""Firing: what becomes of a schedule whose time has come. A firing launches once, however often it is delivered.

Beat notes a firing in a sorted set before it sends the message. Whoever has dealt with it takes it out; the reaper
sends again what stays.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import cast

from celery import Celery, current_app, shared_task
from kombu.exceptions import OperationalError
from redis.exceptions import LockError

from config.fleet import EnvironmentSpec, Schedule
from tasks.jobs import JOBS
from tasks.workflows.model import Queue
from workers import readiness, runtime, verbs
from workers.firingrecord import Due, Firing, Outcome
from workers.launch import Launcher, Request
from workers.refusals import RefusedError
from workers.runtime import Base
from workers.schedule import FIRE, ScheduleRecord, Schedules

logger = logging.getLogger(__name__)

# Less late is not missed: a standby beat takes over in that time, and a message finds its worker.
LATE_SECONDS = 300.0
# Whoever began to deal with a firing and has not ended in this time, is dead. Two of these, and it is not late yet.
_LOCK_SECONDS = 100
_AGAIN_SECONDS = 60.0
_SELDOM_SECONDS = 600.0
# A firing that waits for another one, or for its runs, is looked after so often.
_WAIT_SECONDS = 10.0
# And for as long as a missed time is made up for.
_DONE_SECONDS = 3600
_KEPT = 50
_PAGE = 200
_MOST_NAMED = 3


class Firings:
    """Notes and sends firings, and deals with them. Any process may do any of it."""

    def __init__(self, base: Base, app: Celery) -> None:
        self._base = base
        self._app = app
        self._keys = base.keys
        self._schedules = Schedules(base.client, base.keys)

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
        """Launch the workflow of a schedule over what it selects, once, or leave it out.

        None: that was done before, or the schedule is not there any more.
        An environment that cannot be launched (busy, in another state, or its workers lack something) is left out with
        a warning, and with a record that `stepmark status` shows until the schedule is fired again.
        """
        lock = self._base.client.lock(
            self._keys.schedule_lock(due.schedule), timeout=_LOCK_SECONDS, blocking=False, thread_local=False
        )
        if not lock.acquire():
            self._put_off(due)
            return self._firing(due, Outcome.WAITING, reason="another firing of it is just being dealt with")
        try:
            return self._fire(due)
        finally:
            with suppress(LockError):  # it took longer: somebody else may be at it
                lock.release()

    def _fire(self, due: Due) -> Firing | None:
        if self._base.client.exists(self._keys.firing(due.schedule, due.mark)):
            self._base.client.zrem(self._keys.firings(), str(due))
            return None
        record = self._schedules.get(due.schedule)
        if record is None:
            self._schedules.remove(due.schedule)  # what was written while it was removed
            self._base.client.zrem(self._keys.firings(), str(due))
            return None
        firing = self._deal_with(record, due)
        if firing.outcome is Outcome.WAITING:
            self._base.client.hset(self._keys.schedule(due.schedule), "waiting", str(due))
            self._put_off(due)
        else:
            self._keep(record, due, firing)
        return firing

    def _put_off(self, due: Due) -> None:
        self._base.client.zadd(self._keys.firings(), {str(due): self._base.now() + _WAIT_SECONDS})

    def _deal_with(self, record: ScheduleRecord, due: Due) -> Firing:
        schedule = record.schedule
        outcome, reason = self._objection(record, due)
        if reason:
            logger.warning("Schedule %s is %s: %s", schedule.name, outcome.value, reason)
            return self._firing(due, outcome, reason=reason)
        if schedule.workflow in JOBS:
            job = self._app.send_task(JOBS[schedule.workflow]).id
            return self._firing(due, Outcome.LAUNCHED, job=job)
        launched, left_out = self._launch(schedule, self._schedules.specs(schedule.name), due.by or verbs.whoami())
        outcome = Outcome.LAUNCHED if launched else Outcome.LEFT_OUT
        return self._firing(due, outcome, launched=launched, left_out=left_out)

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
        going = self._going(due.schedule)
        if not going:
            return Outcome.LAUNCHED, ""
        more = f" and {len(going) - _MOST_NAMED} more" if len(going) > _MOST_NAMED else ""
        reason = f"what an earlier firing launched goes on: {', '.join(going[:_MOST_NAMED])}{more}"
        return Outcome.WAITING if record.schedule.overlap == "queue" else Outcome.LEFT_OUT, reason

    def _pending(self, member: str | None) -> bool:
        return member is not None and self._base.client.zscore(self._keys.firings(), member) is not None

    def _going(self, name: str) -> tuple[str, ...]:
        """The environments whose runs of the last firing that launched any have not ended."""
        kept = cast("str | None", self._base.client.hget(self._keys.schedule(name), "running"))
        if kept is None:
            return ()
        runs = self._base.store.runs(Firing.model_validate_json(kept).launched.values())
        following = self._base.store.runs(run.next for run in runs.values() if run.next and not run.live)
        return tuple(run.environment for run in (*runs.values(), *following.values()) if run.live)

    def _launch(
        self, schedule: Schedule, specs: tuple[EnvironmentSpec, ...], user: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The runs that were launched and the reasons why others were not, both by environment."""
        chosen = {spec.name: verbs.workflows(schedule.workflow, spec) for spec in specs}
        wanted = {spec.name: readiness.wanted(self._base, spec, chosen[spec.name]) for spec in specs}
        ready = readiness.ask(self._base, self._app, frozenset().union(*wanted.values()))
        for warning in ready.warnings():
            logger.warning("Schedule %s: %s", schedule.name, warning)
        launcher = Launcher(self._base, self._app)
        launched, left_out = {}, {}
        for spec in specs:
            try:
                ready.demand(wanted[spec.name])
                request = Request(spec, chosen[spec.name], user, f"schedule {schedule.name}")
                launched[spec.name] = launcher.launch(request).run
            except RefusedError as error:
                left_out[spec.name] = str(error)
                logger.warning("Schedule %s leaves out %s: %s", schedule.name, spec.name, error)
        return launched, left_out

    def _firing(self, due: Due, outcome: Outcome, **more: object) -> Firing:
        values = {"schedule": due.schedule, "at": due.at, "fired_at": self._base.now(), "by": due.by or None}
        return Firing.model_validate({**values, "outcome": outcome, **more})

    def _keep(self, record: ScheduleRecord, due: Due, firing: Firing) -> None:
        """Write down what became of it."""
        keys, name, text = self._keys, due.schedule, firing.model_dump_json()
        pipe = self._base.client.pipeline()
        pipe.lpush(keys.schedule_firings(name), text)
        pipe.ltrim(keys.schedule_firings(name), 0, _KEPT - 1)
        pipe.set(keys.firing(name, due.mark), verbs.whoami(), ex=_DONE_SECONDS + record.schedule.late_seconds)
        pipe.zrem(keys.firings(), str(due))
        if record.waiting == str(due):
            pipe.hdel(keys.schedule(name), "waiting")
        if firing.launched:
            pipe.hset(keys.schedule(name), "running", text)
        pipe.sismember(keys.schedules(), name)
        if not pipe.execute()[-1]:  # it was removed meanwhile
            self._schedules.remove(name)


@shared_task(name=FIRE)
def fire(name: str, at: float, by: str = "") -> None:
    """Deal with a firing: as `Firings.fire`."""
    Firings(runtime.base_of_process(), current_app).fire(Due(name, at, by))
