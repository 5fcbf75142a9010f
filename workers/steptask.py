"""TrackedTask: the chain-level callback. Every step of every workflow passes through it, and knows nothing of it."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from billiard import current_process
from celery import Task
from celery.exceptions import Ignore

from config import logs
from tasks import failure as failures
from tasks.adapters.process import STUCK_SECONDS, Redactor, Session
from tasks.context import StepContext
from tasks.errors import (
    ConfigurationError,
    HandOverError,
    Kind,
    LeaseLostError,
    RefusedByHostError,
    StepmarkError,
)
from tasks.facts import Facts, as_made
from tasks.identity import SCHEMA, StepIdentity, other_schema
from tasks.result import Ending, Result
from tasks.workflows import WORKFLOWS
from workers import callbacks, chain, classify, rollouts, runtime, succession
from workers.connection import insist, nonce
from workers.leases import Hold
from workers.post import Letter, Post
from workers.runlog import RunLog
from workers.runtime import Runtime
from workers.tofustate import Owner
from workers.tracker import Execution, Kept, Place, Slot, StaleError

logger = logging.getLogger(__name__)

Body = Callable[[Facts, StepContext], Result]

# How long what was done may wait for a Redis that takes it. Nobody else goes on with the run before it has.
INSIST_SECONDS = 600.0
# Beyond a step's deadline and the graces of its programs.
OVERDUE_SECONDS = STUCK_SECONDS + 5.0
_post = Post()


class StepFailedError(StepmarkError):
    """A step failed; the run's failure context tells all of it. Arguments: the error's class and words, redacted."""


class TrackedTask(Task):
    """The base of all tasks of the app; what is not a step of ours passes through untouched."""

    is_step = False
    throws = (StepFailedError,)  # no traceback in the log: what a bug of ours leaves there, `_told` has written

    def before_start(self, *_: Any) -> None:
        """Record the step as running, before its code; a stale message ends here, and the chain with it."""
        if self.is_step:
            self.request.redact = Redactor()
            self.request.execution = begin(self.request)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step and record its end, and with it the next message: Celery has none to publish."""
        if not self.is_step:
            return self.run(*args, **kwargs)
        execution: Execution = self.request.execution
        with logs.step(execution.identity.run, execution.identity.environment, execution.identity.step):
            try:
                following = Performance(runtime.current(), execution, self.request.redact, self._letter).perform(
                    self.run
                )
            except HandOverError as error:
                self._hand_over(execution)
                raise Ignore(str(error)) from error
            except RefusedByHostError as error:
                # Of the run that is no longer ours, the error callback records nothing.
                raise self._told(error) from None
            except (StaleError, LeaseLostError) as error:
                logger.warning("The step is no longer ours: %s", error)
                raise Ignore(str(error)) from error
            except BaseException as error:  # noqa: BLE001 - a pool of threads would tell nobody of some
                raise self._told(error) from None
        if isinstance(following, Place):
            chain.send(self.app, following)
        elif following:
            rollouts.free(runtime.current(), self.app, following)
        return None

    def _letter(self) -> Letter | None:
        try:
            return _post.following(self.app, self.request)
        except Exception:  # what the step has done counts all the same; Celery still has the chain, and publishes it
            logger.exception("The message after %s could not be written", self.request.id)
            return None

    def _hand_over(self, execution: Execution) -> None:
        answer = succession.hand_over(runtime.current(), self.app, execution)[0]
        if answer == "ask":
            callbacks.interrupted(runtime.current(), execution)
        elif answer not in ("ok", "later"):
            callbacks.cancel_held(runtime.current(), execution)

    def after_return(self, *_: Any) -> None:
        """Let a pool's process end that was told to: Celery takes it for gone, and would not hear of its next step."""
        if isinstance(getattr(self.request, "raised", None), SystemExit) and current_process().name != "MainProcess":
            os._exit(os.EX_OK)

    def _told(self, error: BaseException) -> StepFailedError:
        """What Celery may log and send of an error: its redacted words. The error callback is given the error itself.

        Also of one that would end the process: in a pool of threads nobody would hear of it.
        """
        self.request.raised = error
        found = classify.failure(error, self.request.redact)
        if found.kind is Kind.INTERNAL:
            logger.error("This is a bug of ours:\n%s", self.request.redact("".join(traceback.format_exception(error))))
        return StepFailedError(f"{found.type}: {found.summary}")


def begin(request: Any) -> Execution:
    """Start the step that the request's message names, once Redis takes it.

    Raises:
        Ignore: the message is stale, or of a version that this one does not know: the run stays due.
    """
    if schema := other_schema(request.headers):
        logger.error(
            "Message %s is of schema %s, this version knows %s: its step stays due", request.id, schema, SCHEMA
        )
        raise Ignore(f"schema {schema}")
    identity = StepIdentity.read(request.headers)
    if identity is None:
        raise ConfigurationError("a step runs only as a part of a run: use `stepmark`")
    tracker = runtime.current().tracker
    try:
        return insist(lambda: tracker.start(identity, request.hostname), INSIST_SECONDS)
    except StaleError as error:
        logger.warning("Message %s is ignored: %s", identity.task_id, error)
        raise Ignore(str(error)) from error


@dataclasses.dataclass(frozen=True)
class Performance:
    """One execution, from its start to its recorded end. letter: writes the message that follows in the chain."""

    runtime: Runtime
    execution: Execution
    redact: Redactor
    letter: Callable[[], Letter | None]
    _left: threading.Event = dataclasses.field(default_factory=threading.Event)

    def perform(self, body: Body) -> Place | Slot | None:
        """Run `body` under the lease, keep what it changed, and record its end; gives what `Tracker.end` does."""
        message = self.execution.identity
        log = RunLog(
            self.runtime.client,
            self.runtime.keys.log(message.run),
            message.step,
            self.execution.attempt,
            self.runtime.retention_seconds,
        )
        deadline = time.monotonic() + self._timeout_seconds()
        grace = self.runtime.settings.grace_seconds
        last = deadline + 2 * grace + OVERDUE_SECONDS
        hold = Hold(self.execution.asked_at, last, log.flush, self._overdue)
        with self._leaving(), self.runtime.leases.hold(self.execution.name, hold) as lifeline:
            session = Session(deadline, log.write, self.redact, lifeline, grace)
            try:
                result, kept = self._result(body, session)
            except BaseException:
                log.flush()
                raise
            result = dataclasses.replace(result, note=failures.one_line(self.redact(result.note)))
            kept, once = dataclasses.replace(kept, lines=log.take(), letter=self.letter()), nonce()
            following = insist(lambda: self.runtime.tracker.end(self.execution, result, once, kept), INSIST_SECONDS)
        if result.ending is not Ending.DONE:  # of those that are done Celery says it
            logger.info("Step %s ended: %s", message.label, result.ending.value)
        return following

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._left.set()

    def _result(self, body: Body, session: Session) -> tuple[Result, Kept]:
        if self.execution.skip:
            return Result(self.execution.facts, Ending.SKIPPED, self.execution.skip), Kept()
        return self._in_workspace(body, session)

    def _timeout_seconds(self) -> float:
        """How long the step may take: its own time, but not past the end of the run's.

        Raises:
            ConfigurationError: the message is of a version whose workflow has another step here.
        """
        message = self.execution.identity
        known = WORKFLOWS[message.workflow].steps if message.workflow in WORKFLOWS else ()
        step = known[message.index - 1] if message.index <= len(known) else None
        if step is None or step.name != message.step:
            raise ConfigurationError(succession.OTHER_STEPS)
        seconds = self.execution.environment.parameters.timeouts.get(step.name) or step.timeout_seconds
        if self.execution.deadline_at is None:
            return seconds
        return min(seconds, self.execution.deadline_at - self.execution.started_at)

    def _overdue(self) -> None:
        """End the run over a step that does not heed its deadline; a pool's process is ended with it."""
        try:
            callbacks.overdue(self.runtime, self.execution)
        finally:
            if current_process().name != "MainProcess" and not self._left.is_set():
                os._exit(os.EX_SOFTWARE)

    def _in_workspace(self, body: Body, session: Session) -> tuple[Result, Kept]:
        """What the step gives, and what it has changed in the workspace; if it fails, that is kept at once."""
        message = self.execution.identity
        path, before = self.runtime.workspaces.fetch(message.environment, self.execution.workspace)
        context = StepContext(
            environment=as_made(self.execution.environment, self.execution.facts),
            workspace=path,
            settings=self.runtime.settings,
            session=session,
            options=self.execution.options,
            state=lambda: self.runtime.states.session(Owner(message.environment, message.run, message.epoch)),
            scope=f"{message.run}.{message.epoch}",
            uncertain=self.execution.uncertain,
            orphans=self.runtime.states.orphans(Owner(message.environment, message.run, message.epoch)),
        )
        try:
            result = body(self.execution.facts, context)
        except BaseException:
            self._keep_what_is_there(before)
            raise
        return result, Kept(*self.runtime.workspaces.changed(message.environment, before))

    def _keep_what_is_there(self, before: str) -> None:
        try:
            if not insist(lambda: self.runtime.workspaces.keep(self.execution, before), INSIST_SECONDS):
                logger.warning("The workspace of the failed step was not kept: another execution has gone on")
        except Exception:
            logger.warning("The workspace of the failed step was not kept", exc_info=True)
