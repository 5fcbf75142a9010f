"""Runtime: what a worker process needs to run steps, made once a process, at its first step."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache

import redis

from config import settings as settings_module
from config.settings import Settings
from workers import connection, crypto
from workers.keys import Keys
from workers.leases import Leases
from workers.orphans import OrphanStore
from workers.stateserver import StateServer
from workers.store import Store
from workers.tofustate import TofuState
from workers.tracker import Tracker
from workers.workspaces import Workspaces


@dataclass(frozen=True)
class Base:
    """What every process of ours has: the settings, Redis, what reads it and what moves runs."""

    settings: Settings
    client: redis.Redis
    keys: Keys
    store: Store
    tracker: Tracker

    def now(self) -> float:
        """Unix time by Redis's clock, which all leases go by."""
        seconds, microseconds = self.client.time()
        return seconds + microseconds / 1e6

    @property
    def retention_seconds(self) -> int:
        """How long runs, logs and traces are kept."""
        return self.settings.retention_seconds


@dataclass(frozen=True)
class Runtime(Base):
    """And what only a process that runs steps has."""

    leases: Leases
    workspaces: Workspaces
    states: StateServer


def base(settings: Settings, *, patient: bool = False) -> Base:
    """For these settings; Redis is not asked yet. patient: as a worker is, when Redis does not answer."""
    client, keys = connection.connect(settings, patient=patient), Keys(settings.key_prefix)
    return Base(settings, client, keys, Store(client, keys), Tracker(client, keys, settings))


def base_of_process() -> Base:
    """This process's own Base; it needs no encryption key."""
    pid = os.getpid()
    with _alone(pid):
        return _base_of(pid)


def current() -> Runtime:
    """This process's own: a pool's child does not share the threads and sockets of its parent.

    Raises:
        ConfigurationError: there is no usable encryption key.
    """
    pid = os.getpid()
    with _alone(pid):
        return _of(pid)


def _alone(pid: int) -> threading.RLock:
    """One thread makes it, and the others wait: a thousand begin at once. A forked child has a lock of its own."""
    return _LOCKS.setdefault(pid, threading.RLock())


_LOCKS: dict[int, threading.RLock] = {}


@lru_cache(maxsize=1)
def _base_of(pid: int) -> Base:  # noqa: ARG001 - the key of the cache
    return base(settings_module.load(), patient=True)


@lru_cache(maxsize=1)
def _of(pid: int) -> Runtime:
    common = _base_of(pid)
    settings, client, keys = common.settings, common.client, common.keys
    box = crypto.load(settings.encryption_key_file)
    spaces = Workspaces(client, keys, box, settings.data_dir.expanduser() / "workspaces")
    spaces.sweep()
    states = TofuState(client, keys, box)
    return Runtime(
        settings=settings,
        client=client,
        keys=keys,
        store=common.store,
        tracker=common.tracker,
        leases=Leases(client, keys, lease_seconds=settings.lease_seconds, renew_seconds=settings.renew_seconds),
        workspaces=spaces,
        states=StateServer(states, OrphanStore(states, common.retention_seconds)),
    )
