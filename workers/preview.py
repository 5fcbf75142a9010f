"""Preview: what a run would do if it were resumed, step by step; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from config.fleet import EnvironmentSpec
from tasks.failure import Cause, RunStatus
from tasks.workflows import WORKFLOWS
from tasks.workflows.model import Unknown
from workers import launch, since
from workers.durations import Durations, Usual
from workers.records import EnvironmentRecord, RunRecord
from workers.refusals import RefusedError
from workers.runtime import Base
from workers.since import Change


@dataclass(frozen=True)
class Ahead:
    """A step of the run, or of the one after it. runs: it would; why: or why not. seconds: usually; None: not known.

    attempt: which one it would be. own: whether `seconds` is from the environment's own runs.
    """

    workflow: str
    step: str
    index: int
    runs: bool
    why: str
    attempt: int
    seconds: float | None
    own: bool


@dataclass(frozen=True)
class Preview:
    """What would happen. refused: why nothing would, or empty.

    doubts: what is looked at first, because nobody knows what an execution that was cut off has done.
    changes: of what is declared, since the run was launched; used: whether the run would take them.
    templates_changed: None means that nobody can tell here. renderer: the run's step that renders them, or empty;
    rendered: it would run. taker: the run's step that takes the provider's settings, or empty; takes: it would run.
    held_seconds: until the run may begin.
    """

    environment: str
    run: str
    epoch: int
    refused: str
    steps: tuple[Ahead, ...]
    doubts: tuple[str, ...]
    changes: tuple[Change, ...]
    used: bool
    templates_changed: bool | None
    renderer: str
    rendered: bool
    taker: str
    takes: bool
    held_seconds: float

    @property
    def seconds(self) -> float:
        """How long the steps that would run usually take, as far as that is known."""
        return sum(step.seconds or 0.0 for step in self.steps if step.runs)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The steps that would run, and of which nobody knows how long they take."""
        return tuple(step.step for step in self.steps if step.runs and step.seconds is None)


@dataclass(frozen=True)
class Question:
    """How runs would be resumed. step: from where; None: from where each failed.

    used: what is declared now is taken. nothing_made: the operator says that an apply has made no host.
    """

    step: str | None
    used: bool
    nothing_made: bool


class Previews:
    """Answers one question of many runs."""

    def __init__(self, base: Base, question: Question) -> None:
        self._base = base
        self._question = question

    def of(self, record: RunRecord, declared: EnvironmentSpec | None, durations: Durations | None) -> Preview:
        """The preview of one run. declared: now, if that is known. Without durations no time is known.

        Raises:
            NotFoundError: its environment is gone.
        """
        environment = self._base.store.environment(record.environment)
        spec = EnvironmentSpec.model_validate_json(environment.spec)
        marks = cast("dict[str, str]", self._base.client.hgetall(self._base.keys.run(record.run)))
        begin, refused = self._begin(record, environment)
        facts = self._base.store.facts(record.environment)
        renderer = _teaching(record, "templates_digest")
        taker = renderer or _teaching(record, "address")
        usual = durations.of(record.environment) if durations else {}
        return Preview(
            environment=record.environment,
            run=record.run,
            epoch=record.epoch + 1,
            refused=refused,
            steps=(*_steps(record, begin, marks, usual), *self._following(record, usual)),
            doubts=tuple(self._doubts(record, begin, marks)),
            changes=since.declared(spec, declared) if declared else (),
            used=self._question.used,
            templates_changed=since.templates_changed(facts, declared if declared and self._question.used else spec),
            renderer=renderer,
            rendered=renderer in record.names[begin - 1 :],
            taker=taker,
            takes=taker in record.names[begin - 1 :],
            held_seconds=self._held(record, environment),
        )

    def _begin(self, record: RunRecord, environment: EnvironmentRecord) -> tuple[int, str]:
        """The step to begin with, and why it would be refused."""
        try:
            begin = launch.place_of(self._question.step, record)
        except RefusedError as error:
            return record.index or 1, f"{error}: {error.advice}"
        if record.live and record.display is not RunStatus.LOST:
            return begin, str(launch.busy(record))
        if record.status is RunStatus.SUCCEEDED:
            return begin, f"the last run of {environment.name} ended well, there is nothing to go on with"
        return begin, ""

    def _following(self, record: RunRecord, usual: Mapping[str, Usual]) -> Iterator[Ahead]:
        for run in self._base.store.runs(filter(None, [record.next])).values():
            for index, name in enumerate(run.names, 1):
                yield _ahead(run, index, name, f"{record.workflow} goes on to {run.workflow}", 1, usual)

    def _doubts(self, record: RunRecord, begin: int, marks: Mapping[str, str]) -> Iterator[str]:
        for index, step in enumerate(WORKFLOWS[record.workflow].steps, 1):
            if index < begin or not (marks.get(f"uncertain:{index}") or _lost_at(record, index)):
                continue
            if step.unknown is Unknown.RERUN and _timed_out_at(record, index):
                continue  # its time was up: nothing is to be looked at
            if step.unknown is Unknown.VERIFY and self._question.nothing_made:
                yield f"{step.name} was not ended well; you say that it has made no host"
            else:
                yield f"{step.name} was not ended well: {_DOUBTS[step.unknown]}"

    def _held(self, record: RunRecord, environment: EnvironmentRecord) -> float:
        until = environment.held_until or 0.0
        if record.display is RunStatus.LOST:
            until = record.free_at(self._base.settings.takeover_seconds)
        return round(max(0.0, until - record.read_at), 1)


def _steps(record: RunRecord, begin: int, marks: Mapping[str, str], usual: Mapping[str, Usual]) -> Iterator[Ahead]:
    ended = {step.index: step for step in record.completed}
    for index, name in enumerate(record.names, 1):
        attempts = int(marks.get(f"attempts:{index}") or 0)
        if index >= begin:
            yield _ahead(record, index, name, _why(record, index), attempts + 1, usual)
        elif index in ended:
            why = ": ".join(filter(None, (f"{ended[index].ending} before", ended[index].note)))
            yield Ahead(record.workflow, name, index, runs=False, why=why, attempt=attempts, seconds=None, own=False)


def _ahead(run: RunRecord, index: int, name: str, why: str, attempt: int, usual: Mapping[str, Usual]) -> Ahead:
    known = usual.get(name)
    seconds = round(known.seconds, 1) if known else None
    own = bool(known and known.own)
    return Ahead(run.workflow, name, index, runs=True, why=why, attempt=attempt, seconds=seconds, own=own)


def _why(record: RunRecord, index: int) -> str:
    here = record.index or 1
    if index < here:
        return "you go back to it"
    if index > here:
        return "comes after"
    kind = record.failure.error_kind.value if record.failure else ""
    return ": ".join(dict.fromkeys(filter(None, (record.display.value, kind))))  # `cancelled` is both


def _teaching(record: RunRecord, fact: str) -> str:
    """The run's step that teaches the fact, or empty."""
    return next((step.name for step in WORKFLOWS[record.workflow].steps if fact in step.teaches), "")


def _timed_out_at(record: RunRecord, index: int) -> bool:
    return record.failure is not None and record.index == index and record.failure.cause is Cause.TIMED_OUT


def _lost_at(record: RunRecord, index: int) -> bool:
    return record.display is RunStatus.LOST and record.index == index


_DOUBTS = {
    Unknown.RERUN: "it may simply run again",
    Unknown.VERIFY: "it first saves what was left, asks the provider for the host, and takes it over",
    Unknown.ASK: "only you can tell whether it was done; it runs again",
}
