"""Launcher: the operator's requests that make runs: launch and resume."""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from config.fleet import EnvironmentSpec
from tasks import environment as states
from tasks.context import Options
from tasks.environment import State
from tasks.failure import RunStatus
from tasks.identity import SCHEMA
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import RUN, Workflow
from workers import callbacks, chain, restarts
from workers.connection import Script, nonce
from workers.keys import Keys, moved
from workers.records import RunRecord
from workers.refusals import BusyError, ConflictError, HeldError, NotFoundError, RefusedError, SlotError, other_schema
from workers.runtime import Base
from workers.tracker import Place

# How many runs of an environment are kept, at most, and how many of those that only look.
_RUNS = 100
_CHECKS = 3


@dataclass(frozen=True)
class Request:
    """What to do with an environment. workflows: in order, each after the one before. revision: None means any.

    rollout: what it is a part of, or empty.
    """

    environment: EnvironmentSpec
    workflows: tuple[str, ...]
    user: str
    trigger: str
    options: Options = field(default_factory=Options)
    revision: int | None = None
    rollout: str = ""


@dataclass(frozen=True)
class Resumption:
    """How a run is resumed. step: from where; None: from the one it failed in.

    spec: what is declared now; None: as then. options: in place of the run's own.
    skip: why that step is left out, in words; empty: it is not.
    rollout: what it is a part of, or empty; it needs `spec`.
    """

    step: str | None = None
    spec: EnvironmentSpec | None = None
    options: Options | None = None
    skip: str = ""
    rollout: str = ""


# A worker renews its leases twelve times in the length of one: by then some have failed.
_SILENT_SECONDS = 3.0


class Launcher:
    """Claims environments and sends the chains; a refusal raises and changes nothing."""

    def __init__(self, base: Base, app: Celery) -> None:
        self._base = base
        self._app = app
        self._script = Script(base.client, "launch", moves_runs=True)

    def launch(self, request: Request) -> Place:
        """Begin a run. A lost run that holds the environment is settled first.

        Raises:
            BusyError, RefusedError, ConflictError: the environment's state does not allow it.
            SlotError: its rollout does not start it now.
            redis.RedisError, kombu.exceptions.OperationalError: Redis does not answer.
        """
        workflows = [WORKFLOWS[name] for name in request.workflows]
        ids = new_run_ids(self._base.client.time(), len(workflows))
        content = self._content(request.environment, request.user, request.trigger) | {
            "options": json.dumps(dataclasses.asdict(request.options)),
            "revision": "" if request.revision is None else str(request.revision),
            "sources": [state.value for state in states.sources(workflows[0].running)],
            "rollout": _rollout(request.rollout, request.environment),
            "history": _CHECKS if workflows[0].watches else _RUNS,
            "runs": [
                _run_fields(run, workflow, request.environment) for run, workflow in zip(ids, workflows, strict=True)
            ],
        }
        token = content["runs"][0]["token"]
        place = Place(ids[0], token, 1, 1, request.environment.name, workflows[0].name, 1)
        return self._claim(request.environment.name, content, ids, place)

    def resume(self, record: RunRecord, wish: Resumption, user: str) -> Place:
        """Begin a new epoch of a failed or lost run.

        Raises: as `launch`; NotFoundError: the workflow has no step of that name.
        """
        index = place_of(wish.step, record)
        if record.live:
            self._settle(record)
        options = "" if wish.options is None else json.dumps(dataclasses.asdict(wish.options))
        content = self._content(wish.spec, user, f"{'skip' if wish.skip else 'resume'} by {user}") | {
            "environment": record.environment,
            "revision": "",
            "rollout": _rollout(wish.rollout, wish.spec),
            "resume": {
                "epoch": str(record.epoch),
                "at": str(record.index or 1),
                "index": index,
                "options": options,
                "skip": wish.skip,
                "deadline": _deadline_seconds(WORKFLOWS[record.workflow], wish.spec) if wish.spec else "",
            },
        }
        place = Place(record.run, record.token, record.epoch + 1, 0, record.environment, record.workflow, index)
        return self._claim(record.environment, content, [record.run, *filter(None, [record.next])], place)

    def _content(self, spec: EnvironmentSpec | None, user: str, trigger: str) -> dict[str, Any]:
        return {
            "environment": spec.name if spec else "",
            "schema": str(SCHEMA),
            "spec": spec.model_dump_json() if spec else "",
            "user": user,
            "trigger": trigger,
            "forget_state": State.DESTROYED.value,
            "retention": self._base.retention_seconds,
            "provider": spec.provider.name if spec else "",
            "kept": [place("*") for place in (self._base.keys.run, self._base.keys.run_events, self._base.keys.log)],
        }

    def _claim(self, environment: str, content: dict[str, Any], ids: list[str], place: Place) -> Place:
        keys = self._base.keys
        names = (
            *moved(keys, ids[0], environment),
            *(keys.run(ids[-1]), keys.environments()),
            keys.checks(environment) if WORKFLOWS[place.workflow].watches else keys.runs(environment),
            *(keys.server(), *_rollout_keys(keys, content["rollout"])),
        )
        answer = self._script(names, nonce(), json.dumps(content))
        if answer[0] == "busy":
            answer = self._after_settling(answer[1], lambda: self._script(names, nonce(), json.dumps(content)))
        _, _, epoch, delivery = self._granted(answer, environment)
        granted = dataclasses.replace(place, epoch=int(epoch), delivery=int(delivery))
        chain.send(self._app, granted)
        return granted

    def _after_settling(self, holder: str, again: Callable[[], list[str]]) -> list[str]:
        record = self._base.store.run(holder)
        self._settle(record)
        return again()

    def _settle(self, record: RunRecord) -> None:
        """End a lost run.

        Raises:
            BusyError: its worker is alive, or may be.
        """
        paused = bool(self._base.client.exists(self._base.keys.paused()))
        waits = record.status is RunStatus.QUEUED and (paused or not self._base.store.overtaken([record]))
        if waits or record.display in (RunStatus.RUNNING, RunStatus.WAITING):
            raise busy(record, silent_seconds=record.silent_seconds(self._base.settings.lease_seconds))
        if quiet := restarts.quiet_seconds(self._base):
            advice = f"{restarts.WHY}; try again in {quiet:.0f} s"
            raise BusyError(str(busy(record)), advice, record.environment, record.run)
        answer = callbacks.settle(self._base, record)
        if answer[0] == "held":
            raise busy(record, float(answer[1]))

    def _granted(self, answer: list[str], environment: str) -> list[str]:
        what, detail = answer[0], answer[1]
        if what == "busy":
            raise busy(self._base.store.run(detail))
        if what == "slot":
            raise SlotError(detail)
        if what == "held":
            advice = f"its last worker's tools may still be ending; try again in {float(detail):.0f} s"
            raise HeldError(f"environment {environment} is held", advice, float(detail))
        if what == "state":
            said = _OF_RUN.get(detail)
            problem = f"the last run of {environment} {said}" if said else f"environment {environment} {_is(detail)}"
            raise RefusedError(problem, _ADVICE.get(detail, "see `stepmark show`"))
        if what == "provider":
            advice = "destroy it first, or put the provider back in the fleet file"
            raise RefusedError(f"environment {environment} has a host of provider {detail}", advice)
        if what == "schema":
            raise other_schema(f"environment {environment}", detail)
        if what == "conflict":
            raise ConflictError(f"environment {environment} was changed by somebody else", "look again, then repeat")
        return answer


def _is(state: str) -> str:
    return "has no host yet" if state == State.CREATED else f"is {state}"


def new_run_ids(now: tuple[int, int], count: int) -> list[str]:
    """Ids that sort by `now`, in seconds and microseconds, and among them in their order: hosts refuse the earlier run.

    So it is Redis that tells the time: the clocks of two machines that launch may differ.
    """
    seconds, microseconds = now
    milliseconds = seconds * 1000 + microseconds // 1000
    return sorted(f"{milliseconds:011x}{secrets.token_hex(4)}" for _ in range(count))


def place_of(step: str | None, record: RunRecord) -> int:
    """Where a resumed run goes on: at `step`, or where it failed."""
    workflow = WORKFLOWS[record.workflow]
    names = tuple(each.name for each in workflow.steps)
    if names != record.names:
        raise RefusedError(
            f"workflow {workflow.name} has other steps now than when run {record.run} began",
            f"launch it anew: `stepmark {workflow.name}`",
        )
    if step is None:
        return record.index or 1
    if step not in names:
        raise NotFoundError(f"step {step!r} in {workflow.name}", f"its steps are: {', '.join(names)}")
    if workflow.index(step) > (record.index or 1):
        raise RefusedError(
            f"step {step} comes after {record.step}, which has not ended well", "go on from an earlier step"
        )
    return workflow.index(step)


def busy(record: RunRecord, seconds: float | None = None, *, silent_seconds: float = 0.0) -> BusyError:
    """The refusal that names who holds the environment, since when and where.

    seconds: when it may be tried again. silent_seconds: for how long its worker was not heard of.
    """
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(record.begun_at or record.created_at))
    place = f"{record.workflow} {record.index}/{record.total} {record.step}"
    held = f"environment {record.environment} is held by run {record.run} of {record.user} since {since}, at {place}"
    advice = f"`stepmark status {record.environment}` shows it"
    if seconds is not None:
        advice = f"its worker may still be at work; try again in {seconds:.0f} s"
    elif silent_seconds > _SILENT_SECONDS and record.lease_until:
        left = max(record.lease_until - record.read_at, 0.0)
        silent = f"its worker {record.worker} has been silent for {silent_seconds:.0f} s"
        advice = f"{silent}, and counts as lost in {left:.0f} s: then try again"
    return BusyError(held, advice, record.environment, record.run)


def _rollout(rollout: str, environment: EnvironmentSpec | None) -> dict[str, str] | str:
    return {"id": rollout, "provider": environment.provider.name} if rollout and environment else ""


def _rollout_keys(keys: Keys, rollout: dict[str, str] | str) -> tuple[str, ...]:
    if isinstance(rollout, str):
        return ()
    name, provider = rollout["id"], rollout["provider"]
    pending = keys.rollout_pending(name, provider)
    return keys.rollout(name), pending, keys.rollout_slots(name), keys.rollout_specs(name)


def _deadline_seconds(workflow: Workflow, environment: EnvironmentSpec) -> float:
    return environment.parameters.timeouts.get(RUN, workflow.timeout_seconds)


def _run_fields(run: str, workflow: Workflow, environment: EnvironmentSpec) -> dict[str, Any]:
    return {
        "deadline_seconds": _deadline_seconds(workflow, environment),
        "run": run,
        "token": secrets.token_hex(16),
        "workflow": workflow.name,
        "names": json.dumps([step.name for step in workflow.steps]),
        "queues": json.dumps([step.queue.value for step in workflow.steps]),
        "total": len(workflow.steps),
        "running_state": workflow.running.value,
        "done_state": workflow.done.value if workflow.done else "",
        "failed_state": workflow.failed.value if workflow.failed else "",
        "mends": int(workflow.mends),
    }


_OF_RUN = {
    **{status.value: f"is {status}" for status in RunStatus},
    RunStatus.SUCCEEDED.value: "has succeeded",
}
_ADVICE = {
    "moved": "a host of an environment that was renamed goes by this name at its provider: choose another one",
    "created": "provision or register it first: `stepmark up`",
    "destroyed": "it has been destroyed; `stepmark up` makes it anew",
    "provision-failed": "`stepmark resume` goes on from the failed step, `stepmark destroy` ends it",
    "register-failed": "`stepmark resume` goes on from the failed step, `stepmark destroy` ends it",
    "configure-failed": "`stepmark resume` goes on from the failed step, `stepmark destroy` ends it",
    "destroy-failed": "`stepmark resume` goes on destroying it",
    "succeeded": "it ended well, there is nothing to go on with: `stepmark configure` or `stepmark up` begins anew",
}
