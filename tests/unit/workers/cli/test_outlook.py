"""What is said of a run beside its place and status."""

from __future__ import annotations

import pytest

from tasks.errors import Kind
from tasks.failure import EarlierAttempt, RunStatus
from tasks.workflows import WORKFLOWS
from tests.unit.workers.cli.test_outcomes import failed, run
from workers.cli import outlook
from workers.cli.outlook import Outlook
from workers.notices import Pause
from workers.records import RunRecord

NAMES = tuple(step.name for step in WORKFLOWS["provision"].steps)
PAUSED = Pause(by="ann@desk", reason="", at=0.0)
AROUND = Outlook(takeover_seconds=11.0)
UNSERVED = Outlook(queues=frozenset({"wait"}))
BEFORE = EarlierAttempt(attempt=1, at=1.0, kind=Kind.QUOTA, summary="too many", trace_id="t")


def at_step(status: RunStatus, **more: object) -> RunRecord:
    """At the first step of a workflow of ours."""
    return run(status, names=NAMES, queues=["tools"] * 9, total=9, index=1, step=NAMES[0], **more)


def waiting(kind: Kind = Kind.QUOTA, most: int | None = 3) -> RunRecord:
    """Tried again in 12 seconds."""
    failure = failed().failure
    assert failure is not None
    told = failure.model_copy(update={"error_kind": kind})
    return at_step(RunStatus.WAITING, failure=told, retried=1, taken=2, most=most, due_at=212.0)


LOST = at_step(RunStatus.RUNNING, worker="w1", lease_until=195.0)


@pytest.mark.parametrize(
    ("around", "record", "brief", "note"),
    [
        (AROUND, waiting(), "attempt 2/3 in 12 s: quota", "attempt 2/3 in 12 s: quota: too slow"),
        (
            AROUND,
            waiting(Kind.WORKER_LOST, 4),
            "attempt 3/4 in 12 s: worker-lost",
            "attempt 3/4 in 12 s: worker-lost: too slow",
        ),
        (
            AROUND,
            waiting(most=None),
            "attempt 2 in 12 s: quota",
            "attempt 2 in 12 s: quota: too slow",
        ),
        (
            Outlook(PAUSED),
            waiting(),
            "attempt 2/3 when all goes on: quota",
            "attempt 2/3 when all goes on: quota: too slow",
        ),
        (
            AROUND,
            LOST,
            "taken over in about 6.0 s",
            "worker w1 is not heard of; taken over in about 6.0 s",
        ),
        (
            Outlook(workers=False),
            LOST,
            "no worker lives that could take it over",
            "worker w1 is not heard of; no worker lives that could take it over",
        ),
        (AROUND, failed(), "timeout", "timeout: too slow"),
        (AROUND, at_step(RunStatus.QUEUED), "", ""),
        (Outlook(queues=frozenset({"tools"})), at_step(RunStatus.QUEUED), "", ""),
        (UNSERVED, at_step(RunStatus.QUEUED), "no worker takes steps of `tools`", "no worker takes steps of `tools`"),
        (Outlook(PAUSED), at_step(RunStatus.QUEUED), "all is paused", "all is paused"),
        (
            AROUND,
            at_step(RunStatus.RUNNING, earlier=[BEFORE], lease_until=300.0),
            "again, after quota",
            "again, after quota",
        ),
    ],
)
def test_note(around: Outlook, record: RunRecord, brief: str, note: str) -> None:
    assert (around.brief(record), around.note(record)) == (brief, note)


@pytest.mark.parametrize(
    ("around", "advice"),
    [
        (AROUND, ""),
        (UNSERVED, "start one (`stepmark worker`), or have a drained one"),
        (Outlook(workers=False, queues=frozenset()), "start one: `stepmark worker`"),
        (Outlook(PAUSED, queues=frozenset()), ""),
    ],
)
def test_what_to_do_about_a_run_that_nobody_can_take(around: Outlook, advice: str) -> None:
    said = around.advice(at_step(RunStatus.QUEUED))

    assert said.startswith(advice) if advice else not said


def test_who_paused() -> None:
    assert outlook.words(PAUSED) == "All is paused by ann@desk since 1970-01-01 00:00:00Z: no reason given"
