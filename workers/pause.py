"""Pause: while all is paused no step starts, what runs goes on to the end of its step, and launches wait."""

from __future__ import annotations

import logging
from typing import cast

from celery import Celery

from workers import succession
from workers.notices import Pause
from workers.runtime import Base
from workers.tracker import Why

logger = logging.getLogger(__name__)


def read(base: Base) -> Pause | None:
    """The pause that all is in; None: nothing is paused."""
    content = cast("str | None", base.client.get(base.keys.paused()))
    return None if content is None else Pause.model_validate_json(content)


def begin(base: Base, by: str, reason: str) -> Pause:
    """Pause all. The pause that all is in now: an earlier one stays as it is."""
    pause = Pause(by=by, reason=reason, at=base.now())
    taken = base.client.set(base.keys.paused(), pause.model_dump_json(), nx=True)
    return pause if taken else read(base) or pause


def end(base: Base, app: Celery) -> tuple[str, ...]:
    """Have all go on. The runs whose messages were turned away meanwhile, and were sent again.

    Those that wait behind others are found by the reaper.

    Raises:
        kombu.exceptions.OperationalError: the broker does not take the messages; the reaper sends them.
    """
    base.client.delete(base.keys.paused())
    due = cast("list[str]", base.client.zrange(base.keys.due(), 0, -1))
    seen = base.store.glances(due)
    lost = base.store.runs(base.store.overtaken(seen.values()))
    stay = (record for record in lost.values() if record.due_number == seen[record.run].due_number)
    known = (record for record in stay if succession.step_of(record))
    return tuple(record.run for record in known if succession.go_on(base, app, record, Why.SENT_AGAIN)[0] == "ok")
