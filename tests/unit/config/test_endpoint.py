from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config import celeryconfig, endpoint
from config.errors import SecretError
from config.settings import Settings
from workers.keys import Keys

SENTINEL = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0, "retry": None}


def settings(url: str, **more: Any) -> Settings:
    return Settings.model_validate({"redis_url": url, **more})


def test_one_server() -> None:
    found = endpoint.of(settings("redis://ann:p%40ss@redis:6380/2"))

    assert (found.database, found.login, found.tls) == (2, {"username": "ann", "password": "p@ss"}, {})
    assert (found.url, found.sentinels) == ("redis://ann:p%40ss@redis:6380/2", ())


@pytest.mark.parametrize(
    ("url", "more", "tls"),
    [
        ("rediss://redis", {}, {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("rediss://redis", {"redis_verify": "chain"}, {"ssl_cert_reqs": "required", "ssl_check_hostname": False}),
        ("rediss://redis", {"redis_verify": "none"}, {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        (
            "rediss://redis",
            {"redis_ca_file": "/etc/ca", "redis_cert_file": "/etc/cert", "redis_key_file": "/etc/key"},
            {
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
                "ssl_ca_certs": "/etc/ca",
                "ssl_certfile": "/etc/cert",
                "ssl_keyfile": "/etc/key",
            },
        ),
        (
            "rediss://redis?ssl_cert_reqs=none&ssl_check_hostname=False&socket_timeout=3",
            {},
            {"ssl_cert_reqs": "none", "ssl_check_hostname": False},
        ),
    ],
)
def test_tls_is_the_same_for_clients_and_broker(url: str, more: Mapping[str, str], tls: Mapping[str, Any]) -> None:
    """Without a word the broker would take any certificate."""
    chosen = settings(url, **more)

    assert endpoint.of(chosen).tls == tls
    assert celeryconfig.build(chosen)["broker_use_ssl"] == tls


def test_without_tls_nothing_is_said_of_it() -> None:
    assert celeryconfig.build(settings("redis://redis"))["broker_use_ssl"] is None


@pytest.mark.parametrize(
    ("url", "brokers"),
    [
        (
            "redis://ann:p%40ss@Fleet-1/3",
            "sentinel://ann:p%40ss@one:26379/3;sentinel://ann:p%40ss@[::1]:26380/3",
        ),
        ("redis://Fleet-1", "sentinel://one:26379/0;sentinel://[::1]:26380/0"),
    ],
)
def test_sentinels(url: str, brokers: str) -> None:
    """A master's name keeps its capitals, unlike a host's."""
    chosen = settings(url, redis_sentinels="one,[::1]:26380")
    found, broker = endpoint.of(chosen), celeryconfig.build(chosen)

    assert (found.master, found.sentinels) == ("Fleet-1", (("one", 26379), ("::1", 26380)))
    assert found.sentinel == SENTINEL
    assert broker["broker_url"] == brokers
    assert broker["broker_transport_options"] == {
        "socket_timeout": 30,
        "socket_connect_timeout": 10,
        "socket_keepalive": True,
        "ack_emulation": False,
        "priority_steps": [0],
        "global_keyprefix": "stepmark:broker:",
        "master_name": "Fleet-1",
        "sentinel_kwargs": SENTINEL,
    }


def test_sentinels_have_a_password_and_tls_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    more = {"redis_sentinels": "one", "redis_sentinel_password_file": tmp_path / "password"}

    found = endpoint.of(settings("rediss://fleet", **more)).sentinel

    tls = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert found == {**SENTINEL, **tls, "password": "secret"}


def test_a_password_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(SecretError):
        endpoint.of(settings("redis://fleet", redis_sentinel_password_file=tmp_path / "none"))


def test_the_broker_is_under_the_prefix() -> None:
    chosen = settings("redis://redis", key_prefix="fleet-2")
    prefix = celeryconfig.build(chosen)["broker_transport_options"]["global_keyprefix"]

    assert Keys(chosen.key_prefix).queue("tools") == f"{prefix}tools" == "fleet-2:broker:tools"
