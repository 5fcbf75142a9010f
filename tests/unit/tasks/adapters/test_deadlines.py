"""What a deadline leaves: nothing that runs, and words for people."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import process
from tasks.adapters.process import Command
from tests.unit.tasks import commands
from tests.unit.tasks.adapters import marked


@pytest.fixture
def session() -> process.Session:
    return replace(commands.session(seconds=30), grace_seconds=0.3)


def test_a_deadline_ends_grandchildren_in_sessions_of_their_own(session: process.Session) -> None:
    """Deaf ones too, and those that begin only when the end has begun."""
    mark = uuid.uuid4().hex
    deaf = "trap '' INT TERM HUP; sleep 303; :"
    line = f"setsid sh -c \"setsid sh -c '{deaf}' & {deaf}\" & trap 'setsid sleep 304 & wait' INT; wait"

    with pytest.raises(errors.DeadlineError):
        process.run(Command(("sh", "-c", line), Path("/"), {"MARK": mark}, timeout_seconds=1), session)

    assert marked.living(mark) == {}


def test_what_people_see_of_a_command_may_be_other_words(session: process.Session) -> None:
    with pytest.raises(errors.DeadlineError) as caught:
        process.run(Command(("sleep", "300"), Path("/"), timeout_seconds=0.2, shown="rest a while"), session)

    assert caught.value.command == "rest a while"
