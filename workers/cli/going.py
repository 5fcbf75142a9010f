"""Going on: what an operator wishes of a run that is resumed, and the start of it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rich.markup import escape

from config.fleet import EnvironmentSpec
from config.rollout import Policy
from tasks.context import Options
from tasks.failure import RunStatus
from workers import celery, verbs
from workers.cli import output
from workers.launch import Launcher, Resumption
from workers.records import RunRecord
from workers.refusals import ConflictError, RefusedError
from workers.runtime import Base


@dataclass(frozen=True)
class Wish:
    """How runs are to go on. fleet: the file whose declarations are taken now; None: those that the run began with.

    step: None means from where each failed. skip: why its step is left out, or empty.
    nothing_made: the operator has looked: an apply whose outcome is not known has made no host.
    policy: they go on as a rollout, in this way; None: each by itself.
    """

    fleet: Path | None = None
    step: str | None = None
    nothing_made: bool = False
    skip: str = ""
    policy: Policy | None = None


class GoingOn:
    """The start of one run that goes on. If a worker takes a lost run over meanwhile, that is what is followed."""

    def __init__(self, base: Base, record: RunRecord, wish: Wish, spec: EnvironmentSpec | None) -> None:
        self._base = base
        self._record = record
        self._wish = wish
        self._spec = spec
        self._launcher = Launcher(base, celery.app)

    def __call__(self) -> str:
        """Resume the run; its id.

        Raises: as `Launcher.resume`; ConflictError: the run is no longer at the step that is to be left out.
        """
        record = self._base.store.run(self._record.run)
        try:
            self._check(record)
            return self._launcher.resume(record, self._resumption(), verbs.whoami()).run
        except RefusedError:
            if not self._taken_over():
                raise
        if self._wish != Wish():
            text = f"{self._record.environment}: a worker has taken the run over: it goes on as it was launched"
            output.err().print(escape(text))
        return self._record.run

    def _check(self, record: RunRecord) -> None:
        """The step that was looked at is the one that is left out, however long the wait was."""
        if self._wish.skip and (record.epoch, record.index) != (self._record.epoch, self._record.index):
            place = f"{record.workflow} {record.index}/{record.total} {record.step}"
            raise ConflictError(f"the run of {record.environment} is at {place} now", "look again, then repeat")

    def _taken_over(self) -> bool:
        if self._record.display is not RunStatus.LOST:
            return False
        now = self._base.store.run(self._record.run)
        return now.epoch > self._record.epoch and (now.live or now.status is RunStatus.SUCCEEDED)

    def _resumption(self) -> Resumption:
        return Resumption(self._wish.step, self._spec, self._options(), self._wish.skip)

    def _options(self) -> Options | None:
        if not self._wish.nothing_made:
            return None
        kept = cast("str | None", self._base.client.hget(self._base.keys.run(self._record.run), "options"))
        return dataclasses.replace(Options(**json.loads(kept or "{}")), nothing_made=True)
