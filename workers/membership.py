"""Member: the part of a worker that keeps it in the registry, and stops it from taking steps while it is drained."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from typing import Any

import redis
from celery import bootsteps, signals
from celery.exceptions import WorkerShutdown

from config import settings as settings_module
from tasks.identity import SCHEMA
from workers import beats, connection, permissions, version
from workers.beats import BEAT_SECONDS, SILENT_SECONDS
from workers.keys import Keys
from workers.permissions import Role
from workers.registry import NameTakenError, Order, Registry

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


class Permitted(bootsteps.StartStopStep):
    """Says at a worker's start which permissions its user of Redis lacks, if any; Celery says no more than: refused."""

    def start(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Ask once; a Redis that does not answer is waited for by others."""
        settings = settings_module.load()
        try:
            permissions.demand(connection.connect(settings, hurried=True), settings, Role.WORKER)
        except redis.exceptions.NoPermissionError as error:
            logger.critical("This worker cannot work: %s", error)
        except redis.RedisError as error:
            logger.warning("The worker's permissions are not known yet: %s", error)


class Member(bootsteps.StartStopStep):
    """Beats in the loop that takes messages, and while the last steps of a worker that was told to end go on.

    Started again after each loss of the connection, before messages are taken.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._name = str(parent.hostname)
        self._instance = secrets.token_hex(8)
        self._crew = os.environ.get(beats.CREW_VARIABLE, "")
        self._started_at = time.time()
        self._order = Order()
        self._queues: tuple[str, ...] = ()
        self._taking, self._stopping, self._told = True, False, False
        self._timer: Any = None
        self._registry: Registry | None = None

    def start(self, parent: Any) -> None:
        """Enter the registry, at the first start, and beat.

        Raises:
            WorkerShutdown: another live worker has this one's name.
        """
        if self._registry is None:
            self._queues = tuple(sorted(parent.app.amqp.queues.consume_from))
            self._registry = _registry()
            self._enter(parent)
            signals.worker_shutdown.connect(self._leave)
        self._beat(parent)
        self._timer = parent.timer.call_repeatedly(BEAT_SECONDS, self._beat, (parent,))

    def stop(self, parent: Any) -> None:
        """Stop beating in the loop, which has ended; a worker that ends beats on beside its last steps."""
        if self._timer:
            self._timer.cancel()
        if parent.blueprint.state != bootsteps.RUN and not self._stopping:
            self._stopping = True
            threading.Thread(target=self._beat_on, args=(parent,), name="beat", daemon=True).start()

    def _enter(self, parent: Any) -> None:
        """Take the name. One that a process which was killed still has is free as soon as that is silent."""
        first: str | None = None
        while True:
            try:
                self._hear(parent)
                return
            except NameTakenError as error:
                first = first or error.heard_at
                if error.heard_at != first:
                    logger.critical(_TAKEN, self._name, error.machine, error.pid)
                    raise WorkerShutdown(1) from error
            except redis.RedisError as error:
                logger.warning("The worker could not be entered into the registry yet: %s", error)
                return
            time.sleep(_LOOK_SECONDS)

    def _beat(self, parent: Any) -> None:
        try:
            self._hear(parent)
            self._told = False
        except NameTakenError as error:
            if not self._told:
                logger.error(_TAKEN, self._name, error.machine, error.pid)
            self._told = True
        except redis.RedisError as error:
            logger.warning("The registry was not told that this worker lives: %s", error)

    def _hear(self, parent: Any) -> None:
        if self._registry is None:
            return
        self._order = self._registry.beat(self._name, self._instance, self._order, self._fields(parent), self._crew)
        if self._taking == bool(self._order.drain) and not self._stopping:
            self._obey(parent)
            self._registry.beat(self._name, self._instance, self._order, self._fields(parent), self._crew)

    def _obey(self, parent: Any) -> None:
        """Take messages of no queue, or of all again. Celery keeps to it when it connects anew."""
        self._taking = not self._order.drain
        for queue in self._queues:
            if self._taking:
                parent.add_task_queue(queue)
            else:
                parent.cancel_task_queue(queue)
        if self._taking:
            logger.info("This worker takes steps again")
        else:
            logger.info("This worker is drained by %s: it takes no new step", self._order.drain)

    def _fields(self, parent: Any) -> dict[str, object]:
        return {
            "machine": socket.gethostname(),
            "pid": os.getpid(),
            "version": version.number(),
            "schema": SCHEMA,
            "queues": json.dumps(self._queues),
            "slots": parent.pool.num_processes if parent.pool else 0,
            "started_at": f"{self._started_at:.3f}",
            "taking": int(self._taking and not self._stopping),
            "stopping": int(self._stopping),
        }

    def _beat_on(self, parent: Any) -> None:
        while True:
            self._beat(parent)
            time.sleep(BEAT_SECONDS)

    def _leave(self, **_: Any) -> None:
        try:
            if self._registry:
                self._registry.leave(self._name, self._instance)
        except redis.RedisError as error:
            logger.warning("The worker is still in the registry: %s", error)


def _registry() -> Registry:
    """On a connection of its own, which never keeps the worker's loop waiting for long."""
    settings = settings_module.load()
    client = connection.connect(settings, hurried=True)
    return Registry(client, Keys(settings.key_prefix))


_TAKEN = (
    "Another worker is called %s: process %s/%s. Give each a name of its own (--hostname); "
    f"a worker that was killed is forgotten after {SILENT_SECONDS:.0f} s"
)
