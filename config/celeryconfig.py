"""Celery's own settings; a reason beside each unusual one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from config import endpoint
from config.settings import Settings

_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        # The tracker is the truth: nothing in Celery's results says which step failed.
        "result_backend": None,
        "task_ignore_result": True,
        # Acknowledged before it runs, and nothing is fetched ahead: a worker holds nothing that Redis could hand
        # out a second time; what is lost with a worker is known by its lease and sent again by us.
        "task_acks_late": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        # With it, a step that kills its child would come back for ever, and nobody would hear of it.
        "task_reject_on_worker_lost": False,
        # It would acknowledge the running step and drop the chain behind it.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A chain's message carries the rest of the chain; gzip makes it a tenth.
        "task_compression": "gzip",
        "task_default_queue": "tools",
        # Flower lives on what workers say of their tasks. It asks for that, every few seconds: until then it would cost
        # a fifth of a worker's CPU for nobody. `sent` would double the events.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        # A worker outlives its Redis for as long as it takes.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that becomes a replica, or is full, answers with an error; without this it would end the worker.
        "broker_channel_error_retry": True,
        # Publishing a run's first message: if that takes more than seconds, the step stays due and is found there.
        "task_publish_retry_policy": {"max_retries": 5, "interval_start": 0.1, "interval_step": 0.4, "interval_max": 2},
        # A connection that is cut without a word is noticed.
        "broker_transport_options": {
            "socket_timeout": 30,
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            # Kombu does not write down in Redis which messages are in hand: of a step the lease tells it, and what that
            # list hands out again comes an hour late. It takes two of a message's round trips.
            "ack_emulation": False,
            # No message goes before another: one list a queue to look at, not four.
            "priority_steps": [0],
        },
        "enable_utc": True,
        "timezone": "UTC",
    }
)


def build(settings: Settings) -> dict[str, Any]:
    """The configuration of the app for these settings."""
    found = endpoint.broker(settings)
    options = {**_SETTINGS["broker_transport_options"], **found["broker_transport_options"]}
    return {
        **_SETTINGS,
        **found,
        "broker_transport_options": options,
        "beat_max_loop_interval": settings.beat_look_seconds,
        # Beat gives RedBeat a connection of ours; these keep it from complaining.
        "redbeat_redis_url": settings.redis_url.get_secret_value(),
        "redbeat_redis_options": {},
        "redbeat_key_prefix": f"{settings.key_prefix}:beat:",
    }
