"""A message that is written and not sent: as Celery would publish it, and in its queue once, with the step's end."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.facts import Facts
from tasks.failure import RunStatus
from tasks.result import Result
from tests.integration.conftest import StartWorker, ended, request, spec
from tests.integration.test_scripts import message
from workers import connection
from workers.celery import app
from workers.launch import Launcher
from workers.post import Letter, Post
from workers.runtime import Base
from workers.tracker import Execution, Kept, Place, StaleError


@pytest.fixture
def place(launcher: Launcher) -> Place:
    """A run whose first message is in its queue."""
    return launcher.launch(request(spec(), "provision"))


@pytest.fixture
def execution(base: Base, place: Place) -> Execution:
    """Its first step, started."""
    return base.tracker.start(message(place), "w0@test")


def taken(base: Base, queue: str = "tools") -> dict[str, Any]:
    """The message that is next in a queue, as a worker reads it."""
    content: dict[str, Any] = json.loads(base.client.rpop(base.keys.queue(queue)))
    content["body"] = json.loads(zlib.decompress(base64.b64decode(content["body"])))
    return content


def asked(content: dict[str, Any]) -> Any:
    """The request that a worker makes of a message."""
    headers = content["headers"]
    return SimpleNamespace(chain=content["body"][2]["chain"], id=headers["id"], root_id=headers["root_id"])


def test_it_is_what_celery_publishes(base: Base, place: Place) -> None:
    first = asked(taken(base))
    link, rest = app.signature(first.chain[-1]), first.chain[:-1]
    link.apply_async((None,), chain=rest, parent_id=first.id, root_id=first.root_id)
    published = taken(base)

    letter = Post().following(app, first)

    assert letter
    assert letter.queue == "tools"
    assert first.chain is None
    base.client.lpush(base.keys.queue("tools"), letter.text)
    written = taken(base)
    for each in (published, written):
        del each["properties"]["delivery_tag"]
    assert written == published
    assert written["headers"]["stepmark"]["run"] == place.run
    assert written["headers"]["parent_id"] == first.id


def test_one_that_cannot_be_written_undoes_no_step(
    base: Base, launcher: Launcher, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Celery publishes it: nobody has to send it again."""
    start_worker(app="tests.integration.unwritten_worker")

    run = ended(base, launcher.launch(request(spec())).run)

    assert run.status is RunStatus.SUCCEEDED
    assert (run.epoch, run.delivery) == (1, 1)
    assert "it cannot be written" in (tmp_path / "w0@test.log").read_text()


def test_after_the_last_step_there_is_none() -> None:
    assert Post().following(app, SimpleNamespace(chain=None, id="1", root_id="1")) is None
    assert Post().following(app, SimpleNamespace(chain=[], id="1", root_id="1")) is None


def test_it_is_sent_with_the_end_and_once(base: Base, execution: Execution) -> None:
    taken(base)
    once, kept = connection.nonce(), Kept(letter=Letter("tools", "written"))

    for _ in range(2):
        base.tracker.end(execution, Result(Facts()), once, kept)

    assert base.client.lrange(base.keys.queue("tools"), 0, -1) == ["written"]
    assert base.client.zcard(base.keys.due()) == 1


def test_of_an_end_that_is_not_recorded_nothing_is_sent(base: Base, execution: Execution) -> None:
    taken(base)
    base.client.hset(base.keys.run(execution.identity.run), "execution", "another")

    with pytest.raises(StaleError):
        base.tracker.end(execution, Result(Facts()), kept=Kept(letter=Letter("tools", "written")))

    assert not base.client.exists(base.keys.queue("tools"))
