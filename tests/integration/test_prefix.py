"""Two installations in one database of one Redis: neither meets the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.integration import installation
from tests.integration.installation import Flower, Installation
from tests.support import poll


@pytest.fixture
def both(redis_url: str, tmp_path: Path) -> Iterator[tuple[Installation, Installation]]:
    """Two that differ in their prefix; one prefix begins with the other."""
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(
                installation.made(tmp_path / prefix, STEPMARK_REDIS_URL=redis_url, STEPMARK_KEY_PREFIX=prefix)
            )
            for prefix in ("fleet", "fleet-2")
        )
        yield one, two


def test_neither_of_two_installations_sees_the_other(both: tuple[Installation, Installation], redis_url: str) -> None:
    """They have environments, workers and queues of the same names, and start at the same time."""
    one, two = both
    flower = Flower(one)
    for each in both:
        each.worker("same")
    poll(lambda: flower.workers() == ["same@test"])
    flower.wait_until_it_asks()

    first = one.stepmark("up", one.fleet(web_1={}, web_2={}), "--json")
    second = two.stepmark("up", two.fleet(web_1={"fail": "ssh.wait"}), "--json")

    assert (first.status, second.status) == (0, 1), (first, second)
    assert {line.split()[0] for line in one.steps} == {"web-1", "web-2"}
    assert two.steps == ["web-1 ssh.wait"]
    for each, names in ((one, ["web-1", "web-2"]), (two, ["web-1"])):
        assert [found["environment"] for found in each.stepmark("status", "--json").json["environments"]] == names
        assert [found["name"] for found in each.stepmark("worker", "list", "--json").json["workers"]] == ["same@test"]
    poll(lambda: len(flower.tasks()) == 14)
    assert {name.split()[0] for name in flower.tasks()} == {"web-1", "web-2"}
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert {key.partition(":")[0] for key in client.scan_iter()} == {"fleet", "fleet-2"}


def test_queued_steps_wait_for_the_workers_of_their_installation(
    both: tuple[Installation, Installation],
) -> None:
    one, two = both
    two.worker()
    one.stepmark("up", one.fleet(web_1={}), "--detach", "--no-check")

    assert two.stepmark("up", two.fleet(web_1={}), "--json").status == 0

    assert one.base.client.llen(one.base.keys.queue("wait")) == 1
    assert one.steps == []


def test_what_an_earlier_version_left_in_queues_without_a_prefix_is_sent_again(
    both: tuple[Installation, Installation],
) -> None:
    """As after an upgrade: the step is due, and its message is where no worker looks any more."""
    one, _ = both
    one.stepmark("up", one.fleet(web_1={}), "--detach", "--no-check")
    one.base.client.rename(one.base.keys.queue("wait"), "wait")

    one.worker()

    poll(lambda: one.stepmark("status", "--json").json["environments"][0]["state"] == "configured")
    assert len(one.steps) == len(set(one.steps)) == 7
    assert one.base.client.llen("wait") == 1
