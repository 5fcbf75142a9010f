"""Readiness: asks the workers, before anything is launched, whether they have what its steps need.

Only names travel: references, paths, programs. One question for all environments of a launch, and one answer a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
from celery import Celery
from celery.worker.control import inspect_command
from kombu.exceptions import OperationalError

from config import settings
from config.fleet import EnvironmentSpec
from tasks import equipment
from tasks.equipment import Item, What
from tasks.workflows import WORKFLOWS
from workers import rolloutrecord
from workers.records import RunRecord
from workers.refusals import LackingError
from workers.registry import Condition, Registry, WorkerRecord
from workers.rolloutrecord import Outcome
from workers.runtime import Base

COMMAND = "stepmark_lacks"
_ANSWER_SECONDS = 1.0
_MOST_NAMED = 3
_ADVICE = (
    "put the file or the program there, or set the variable and start the worker anew; "
    "`--no-check` launches without asking the workers"
)


@dataclass(frozen=True)
class Lack:
    """What one worker lacks, and why it cannot use it, in one line."""

    worker: str
    item: Item
    problem: str

    def __str__(self) -> str:
        said = self.problem if self.item.what is not What.FILE else f"file {self.problem}"
        return f"worker {self.worker}: {said}"


@dataclass(frozen=True)
class Readiness:
    """What the workers said. silent: those that gave no answer; unserved: queues of which no worker lives."""

    lacks: tuple[Lack, ...] = ()
    silent: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()

    def demand(self, items: frozenset[Item]) -> None:
        """See that no worker lacks one of `items`.

        Raises:
            LackingError: one does.
        """
        if found := [lack for lack in self.lacks if lack.item in items]:
            more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
            said = "; ".join(map(str, found[:_MOST_NAMED])) + more
            raise LackingError(said, _ADVICE, tuple(_shape(lack) for lack in found))

    def left_out(self, wanted: Mapping[str, frozenset[Item]]) -> dict[str, Outcome]:
        """The environments that are to be left out of a rollout, and why. wanted: what each needs, by its name."""
        found: dict[str, Outcome] = {}
        for name, items in wanted.items():
            try:
                self.demand(items)
            except LackingError as error:
                found[name] = rolloutrecord.left_out(error)
        return found

    def warnings(self) -> tuple[str, ...]:
        """What could not be found out, a line each."""
        unserved = [f"no worker takes steps of the queue {queue} now: they wait there" for queue in self.unserved]
        silent = [f"worker {name} did not say whether it has what is needed" for name in self.silent]
        return (*unserved, *silent)


def wanted(base: Base, environment: EnvironmentSpec, workflows: Iterable[str]) -> frozenset[Item]:
    """What the workflows need of the workers for this environment.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    names = tuple(workflows)
    if names == ("destroy",) and base.store.facts(environment.name).tofu_digest is None:
        return frozenset()  # nothing was made: there is nothing to end it with
    return equipment.wanted(environment, (step for name in names for step in WORKFLOWS[name].steps))


def wanted_from(base: Base, record: RunRecord, step: str | None, environment: EnvironmentSpec) -> frozenset[Item]:
    """What a run needs that goes on from `step`, or from its own place, and the run that goes on after it.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    workflow = WORKFLOWS.get(record.workflow)
    if workflow is None or tuple(each.name for each in workflow.steps) != record.names:
        return frozenset()  # refused for that, in words of its own
    index = record.names.index(step) + 1 if step in record.names else record.index or 1
    following = (run.workflow for run in base.store.runs(filter(None, [record.next])).values())
    later = [each for name in following for each in WORKFLOWS[name].steps]
    return equipment.wanted(environment, [*workflow.steps[index - 1 :], *later])


def ask(base: Base, app: Celery, items: frozenset[Item]) -> Readiness:
    """Ask every worker that takes steps of the queues of `items`; returns as soon as all have answered.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    if not items:
        return Readiness()
    queues = {item.queue for item in items}
    ready = [each for each in _workers(base) if queues & set(each.queues)]
    unserved = sorted(queues - {queue for each in ready for queue in each.queues})
    answers = _answers(app, [each.name for each in ready], items)
    lacks = tuple(lack for name in sorted(answers) for lack in answers[name])
    return Readiness(lacks, tuple(each.name for each in ready if each.name not in answers), tuple(unserved))


@inspect_command(name=COMMAND, args=[("items", list)])
def lacking(state: Any, items: list[list[str]]) -> list[list[Any]]:
    """What this worker lacks of the items of its queues: each with what is wrong. Runs in the worker."""
    serves = set(state.app.amqp.queues.consume_from)
    mine = (Item(queue, What(what), name) for queue, what, name in items if queue in serves)
    found = ((item, equipment.lack(item, settings.load())) for item in mine)
    return [[list(item), problem] for item, problem in found if problem]


def _workers(base: Base) -> Iterable[WorkerRecord]:
    return (each for each in Registry(base.client, base.keys).workers() if each.condition is Condition.READY)


def _answers(app: Celery, names: list[str], items: frozenset[Item]) -> dict[str, list[Lack]]:
    """By worker; one that knows no such question, being of another version, is as if it were silent."""
    if not names:
        return {}
    question = {"items": [list(item) for item in sorted(items)]}
    ask = partial(app.control.broadcast, COMMAND, question, destination=names, reply=True, timeout=_ANSWER_SECONDS)
    try:
        try:
            replies = ask()
        except redis.ConnectionError:  # one of the pool that Redis has closed since; it is opened anew
            replies = ask()
    except (OperationalError, redis.RedisError):
        return {}
    said = {name: answer for reply in replies or () for name, answer in reply.items()}
    return {name: [_lack(name, *each) for each in answer] for name, answer in said.items() if isinstance(answer, list)}


def _lack(worker: str, item: list[str], problem: str) -> Lack:
    queue, what, name = item
    return Lack(worker, Item(queue, What(what), name), problem)


def _shape(lack: Lack) -> dict[str, str]:
    return {"worker": lack.worker, "what": lack.item.what.value, "name": lack.item.name, "text": str(lack)}
