"""Celery's settings that correctness or speed hang on."""

from __future__ import annotations

from config import celeryconfig
from config.settings import Settings


def test_redis_is_not_told_what_is_in_hand() -> None:
    """And what the endpoint needs of the transport's options does not take that away."""
    options = celeryconfig.build(Settings())["broker_transport_options"]

    assert (options["ack_emulation"], options["priority_steps"]) == (False, [0])
    assert options["socket_keepalive"] is True
