"""A message as Celery publishes it, written and not sent: the script that ends a step puts it into its queue."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from celery import Celery, Signature, signature
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.transport import memory, virtual
from kombu.utils.json import dumps


class Letter(NamedTuple):
    """A message, as it stands in Redis. queue: its name."""

    queue: str
    text: str


class _Channel(memory.Channel):
    """Of the broker in memory: it encodes a message as the one in Redis does, and stops there."""

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        text = dumps(message)  # type: ignore[no-untyped-call]
        self.connection.letters.append(Letter(queue, text))


class _Transport(memory.Transport):
    Channel = _Channel
    global_state = virtual.BrokerState()  # type: ignore[no-untyped-call]

    def __init__(self, client: Connection, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        self.letters: list[Letter] = []


class Post:
    """Writes the message that follows in a chain. One a process: threads take turns, for it only computes."""

    def __init__(self) -> None:
        self._connection = Connection("memory://", transport=_Transport)  # type: ignore[no-untyped-call]
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def following(self, app: Celery, request: Any) -> Letter | None:
        """What comes after `request` in its chain, if something does; Celery is left nothing to publish.

        Raises: whatever Celery does about a message that cannot be written; it has the chain then.
        """
        if not request.chain:
            return None
        *rest, link = request.chain
        with self._lock:
            self._producer = self._producer or app.amqp.Producer(self._connection, auto_declare=False)
            found: Signature = signature(link, app=app)
            found.apply_async(
                (None,),
                chain=rest,
                parent_id=request.id,
                root_id=request.root_id,
                producer=self._producer,
                # Here is nobody to declare a queue to, and nothing that could fail and be done again.
                declare=(),
                retry=False,
            )
            letter: Letter = self._connection.transport.letters.pop()
        request.chain = None
        return letter
