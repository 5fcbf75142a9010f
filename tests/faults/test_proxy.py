"""The proxy does to a real Redis's connections what it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults import proxy
from tests.faults.proxy import CommandReader, Proxy
from tests.support import poll


@pytest.fixture
def through(redis_url: str) -> Iterator[Proxy]:
    with proxy.before(redis_url) as found:
        yield found


def _client(url: str, retries: int = 0) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), retries), decode_responses=True)


def test_everything_passes(through: Proxy) -> None:
    client = _client(through.url)
    client.set("large", "x" * 1_000_000)
    pipe = client.pipeline()
    for number in range(1000):
        pipe.rpush("list", number)
    pipe.execute()

    assert len(client.get("large")) == 1_000_000
    assert client.llen("list") == 1000
    assert through.connections == 1


def test_cut_drops_and_refuses_until_restored(through: Proxy) -> None:
    client = _client(through.url)
    client.ping()
    for _ in range(3):
        through.cut()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        with pytest.raises(redis.ConnectionError, match="refused"):
            client.ping()
        through.restore()
        assert poll(client.ping, seconds=5)


def test_drop_breaks_what_there_is_and_takes_new(through: Proxy) -> None:
    client = _client(through.url)
    client.ping()
    through.drop()

    assert client.ping()  # it makes a new connection when its own is gone
    assert through.connections == 2


def test_stall_answers_nothing_and_goes_on(through: Proxy, redis_url: str) -> None:
    client, direct = _client(through.url), _client(redis_url)
    client.ping()
    through.stall()
    with pytest.raises(redis.TimeoutError):
        client.set("key", "value")
    with pytest.raises(redis.TimeoutError):
        _client(through.url).ping()
    assert direct.get("key") is None

    through.restore()
    assert client.ping()


def test_delay(through: Proxy) -> None:
    client = _client(through.url)
    client.ping()
    through.delay(0.2)
    begun = time.monotonic()
    client.ping()

    assert time.monotonic() - begun >= 0.4


def test_a_lost_reply_comes_after_redis_has_done_the_command(through: Proxy, redis_url: str) -> None:
    client = _client(through.url)
    count = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    count(keys=["n"], args=[1])
    loss = through.lose_reply(proxy.script_call(count.sha), nth=2)
    count(keys=["n"], args=[1])
    client.ping()
    assert not loss.done.is_set()

    with pytest.raises(redis.ConnectionError):
        count(keys=["n"], args=[1])
    assert loss.done.is_set()
    assert _client(redis_url).get("n") == "3"
    assert count(keys=["n"], args=[1]) == 4


def test_a_client_that_asks_again_does_it_twice(through: Proxy, redis_url: str) -> None:
    """The very thing that nonces are for."""
    client = _client(through.url, retries=2)
    through.lose_reply(lambda command: command[0] == b"INCRBY")

    assert client.incr("n") == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_commands_are_read_however_they_are_cut(size: int) -> None:
    raw = b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n*1\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n"
    reader = CommandReader()
    commands = [each for at in range(0, len(raw), size) for each in reader.feed(raw[at : at + size])]

    assert commands == [(b"PING",), (b"SET", b"a", b"\r\n*1"), (b"GET", b"")]
