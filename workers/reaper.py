"""Reaper: finds what nobody works on any more, and has it go on or end. In every worker; one at a time works."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import redis
from celery import Celery, bootsteps, signals
from kombu.exceptions import OperationalError

from tasks.errors import Kind
from tasks.failure import Cause, Failure, RunStatus
from tasks.identity import SCHEMA
from tasks.trace import Trace
from tasks.workflows.model import Unknown
from workers import callbacks, restarts, runtime, succession
from workers.connection import Script
from workers.firing import Firings
from workers.keys import moved
from workers.overview import Overviews
from workers.records import LIVE, RunRecord
from workers.rollouts import Rollouts
from workers.runtime import Base
from workers.tracker import Answer, Why

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_LOCK_SECONDS = 10.0
# What was seen once and never again has started since.
_MEMORY_LEASES = 20
_PAGE = 200
# It is seldom needed, and reads all that lives.
_SELDOM_LOOKS = 10


class Reaper:
    """One look after the other. What it finds is decided by the scripts: a late reaper changes nothing."""

    def __init__(self, base: Base, app: Celery) -> None:
        self._base = base
        self._app = app
        self._rollouts = Rollouts(base, app)
        self._mender = Script(base.client, "mend", moves_runs=True)
        self._firings = Firings(base, app)
        self._overtaken: dict[str, tuple[int | None, float]] = {}
        self._pages: dict[str, int] = {}
        self._looks = 0
        self._overviews = Overviews(base.client, base.keys)
        self._cursor = 0

    def look(self) -> None:
        """Look once at all that may have been left.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        quiet = restarts.look(self._base)
        now = self._base.now()
        keys = self._base.keys
        seldom = self._looks % _SELDOM_LOOKS == 0
        self._looks += 1
        if seldom:
            self._correct_overview()
        self._end_cancelled()
        for record in self._runs(self._until(keys.deadlines(), now)):
            if record.status in (RunStatus.QUEUED, RunStatus.WAITING):
                self._help(record.run, partial(callbacks.late, self._base, record))
        self._advance_rollouts()
        self._firings.send_again(now)
        if self._base.client.exists(keys.paused()):
            return
        if quiet:
            self._overtaken.clear()
            return
        for record in self._runs(self._until(keys.retries(), now)):
            self._go_on(record, Why.RETRY)
        self._take_over(now)
        self._send_anew()
        self._send_again(now)
        if seldom:
            self._mend()

    def _advance_rollouts(self) -> None:
        for record in self._rollouts.store.live():
            self._help(record.rollout, partial(self._rollouts.look, record.rollout))

    def _correct_overview(self) -> None:
        """A part of the rows: workers of older versions write none, and runs go with their retention."""
        scanned = self._base.client.sscan(self._base.keys.environments(), self._cursor, count=_PAGE)
        self._cursor, names = cast("tuple[int, list[str]]", scanned)
        if wrong := self._overviews.correct(names):
            logger.info("%d environments were shown otherwise than their records are", wrong)

    def _end_cancelled(self) -> None:
        marks = cast("dict[str, str]", self._base.client.hgetall(self._base.keys.cancels()))
        for record in self._runs(marks):
            if record.display is not RunStatus.RUNNING and record.live:
                self._help(record.run, partial(callbacks.cancelled, self._base, record, marks[record.run]))

    def _take_over(self, now: float) -> None:
        """Runs whose lease has lapsed for so long that their guards must have ended their tools."""
        key = self._base.keys.leases()
        executions = self._until(key, now - self._base.settings.takeover_seconds)
        found = {record.execution: record for record in self._runs({name.split(".")[0] for name in executions})}
        for execution in executions:
            if execution not in found:
                self._forget(execution)
            elif found[execution].status is RunStatus.RUNNING:
                self._go_on(found[execution], Why.TAKEN_OVER)

    def _forget(self, execution: str) -> None:
        """Drop the lease of an execution whose run has ended, or gone on."""
        run = self._base.keys.run(execution.split(".")[0])
        if self._base.client.hget(run, "execution") != execution:
            self._base.client.zrem(self._base.keys.leases(), execution)

    def _send_anew(self) -> None:
        """What was due before Redis came back, or soon after: workers refuse to begin it in the epoch that it has."""
        for record in self._runs(self._until(self._base.keys.due(), restarts.quiet_until(self._base), "anew")):
            self._go_on(record, Why.SENT_AGAIN)

    def _send_again(self, now: float) -> None:
        """Due runs whose messages must be lost, seen so for a whole lease: one just taken begins meanwhile."""
        lease = self._base.settings.lease_seconds
        self._overtaken = {run: seen for run, seen in self._overtaken.items() if now - seen[1] < _MEMORY_LEASES * lease}
        due = self._until(self._base.keys.due(), now - lease)
        seen = self._base.store.glances(due)
        self._drop_ended(run for run in due if run not in seen or not seen[run].live)
        lost, found = set(self._base.store.overtaken(seen.values())), []
        for run in due:
            number, since = self._overtaken.pop(run, (None, now))
            if run not in lost:
                continue
            if number != seen[run].due_number:
                self._overtaken[run] = (seen[run].due_number, now)
            elif now - since < lease:
                self._overtaken[run] = (number, since)
            else:
                found.append(run)
        for record in self._runs(found):
            if record.due_number == seen[record.run].due_number:  # it has not gone on meanwhile
                self._go_on(record, Why.SENT_AGAIN)

    def _drop_ended(self, runs: Iterable[str]) -> None:
        """Of runs that are due: those that have ended, or are gone. A Redis whose file was torn may come back so."""
        due = self._base.keys.due()
        for run in runs:
            key = self._base.keys.run(run)

            def drop(pipe: Any, run: str = run, key: str = key) -> None:
                schema, status = pipe.hmget(key, "schema", "status")
                pipe.multi()
                if schema is None or (schema == str(SCHEMA) and status not in LIVE):
                    pipe.zrem(due, run)

            self._base.client.transaction(drop, key)

    def _go_on(self, record: RunRecord, why: Why) -> None:
        self._help(record.run, partial(self._decide, record, why))

    def _help(self, which: str, act: Callable[[], object]) -> None:
        try:
            act()
        except OperationalError as error:
            logger.warning("%s is due, but its messages cannot be sent: %s", which, error)
        except redis.RedisError:
            raise
        except Exception:  # one run that cannot be helped must not keep it from the others
            logger.exception("%s could not be helped", which)

    def _decide(self, record: RunRecord, why: Why) -> Answer:
        step = succession.step_of(record)
        if step is None:
            found = Failure(Kind.CONFIGURATION, Cause.RAISED, "OtherSteps", succession.OTHER_STEPS)
            return callbacks.settle(self._base, record, found)
        if why is Why.TAKEN_OVER and step.unknown is Unknown.ASK:
            return callbacks.settle(self._base, record)
        found = callbacks.lost(record)
        lost = callbacks.describe(self._base, record, found) if why is Why.TAKEN_OVER else None
        answer = succession.go_on(self._base, self._app, record, why, lost)
        if answer[0] == "ok" and lost:
            trace = Trace(context=lost, error_chain=callbacks.links_of(found), earlier=record.earlier)
            callbacks.keep_trace(self._base, trace)
        return callbacks.settle(self._base, record) if answer[0] == "limit" else answer

    def _mend(self) -> None:
        """Live runs that stand in no set that is looked at: a script was refused in its middle, and left them out."""
        live = self._until(self._base.keys.deadlines(), "+inf", "all")
        for seen in self._base.store.glances(live).values():
            if self._mender(moved(self._base.keys, seen.run, seen.environment))[0] == "ok":
                logger.warning("Run %s was %s, and nobody looked for it", seen.run, seen.status.value)

    def _until(self, key: str, at: float | str, what: str = "") -> list[str]:
        """Members of a sorted set whose time has come, the oldest first: a page of them, at the next look the next."""
        offset = self._pages.get(key + what, 0)
        found = cast("list[str]", self._base.client.zrangebyscore(key, "-inf", at, offset, _PAGE))
        self._pages[key + what] = offset + _PAGE if len(found) == _PAGE else 0
        return found

    def _runs(self, runs: Iterable[str]) -> tuple[RunRecord, ...]:
        return tuple(self._base.store.runs(runs).values())


class Watch:
    """The thread in which a worker's reaper looks, whenever no other worker's does. The lock tells its name."""

    def __init__(self, base: Base, app: Celery, name: str) -> None:
        self._reaper = Reaper(base, app)
        self._name = name
        self._lock = base.client.lock(base.keys.reaper(), timeout=_LOCK_SECONDS, blocking=False, thread_local=False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present look, and let another worker's reaper go on; if that takes long, by the lock's end."""
        self._stop.set()
        self._thread.join(LOOK_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                if self._ours():
                    self._reaper.look()
            except redis.RedisError as error:
                logger.warning("The reaper cannot look: %s", error)
            except Exception:  # one run that cannot be helped must not keep it from the others
                logger.exception("The reaper failed")
        if self._lock.owned():
            self._lock.release()

    def _ours(self) -> bool:
        """Whether this is the one reaper that works: it holds the lock, or has just taken it."""
        if self._lock.owned():
            return bool(self._lock.reacquire())
        return bool(self._lock.acquire(token=f"{self._name} {secrets.token_hex(8)}"))


class Part(bootsteps.StartStopStep):
    """The part of a worker's main process that runs the watch, until the last step of a worker that stops has ended."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._watch: Watch | None = None

    def start(self, parent: Any) -> None:
        """Begin to watch."""
        self._watch = Watch(runtime.base_of_process(), parent.app, parent.hostname)
        self._watch.start()
        signals.worker_shutdown.connect(self._end)

    def _end(self, **_: Any) -> None:
        if self._watch:
            self._watch.stop()
