"""Orphans: OpenTofu states that came without their lock, and how they are settled. Nothing is thrown away."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tasks.adapters import tofu_states
from tasks.adapters.tofu_states import State
from tasks.errors import OrphanedStateError
from workers.connection import Script
from workers.refusals import ConflictError, NotFoundError, RefusedError
from workers.tofustate import Owner, TofuState

_SHORT = 8
_UNSETTLED = "{} OpenTofu state(s) of {} came after another run had taken over: see `stepmark state reconcile {}`"


@dataclass(frozen=True)
class Orphan:
    """One state that came late. at: Unix seconds; owner: `RUN.EPOCH` that wrote it; raw: as Redis has it."""

    digest: str
    at: float
    owner: str
    content: bytes
    raw: str

    @property
    def id(self) -> str:
        """What operators call it."""
        return self.digest[:_SHORT]

    @property
    def state(self) -> State:
        """What it says."""
        return tofu_states.read(self.content)


@dataclass(frozen=True)
class Choice:
    """How orphans are settled, by whom, why, when (Unix seconds). keep: takes the state's place; None: nothing does."""

    keep: Orphan | None
    by: str
    reason: str
    at: float


class OrphanStore:
    """The orphans of all environments. Every method raises redis.RedisError when Redis does not take it."""

    def __init__(self, states: TofuState, retention_seconds: int) -> None:
        self._states = states
        self._retention_seconds = retention_seconds
        self._settle = Script(states.client, "settle")

    def waiting(self, environment: str) -> tuple[Orphan, ...]:
        """Those that nobody has settled, oldest first."""
        return self._read(environment, self._states.keys.tofu_orphans(environment))

    def settled(self, environment: str) -> tuple[Orphan, ...]:
        """The states that were put aside, oldest first."""
        return self._read(environment, self._states.keys.tofu_settled(environment))

    def settle(self, environment: str, orphans: Sequence[Orphan], choice: Choice) -> None:
        """Put these orphans aside, or the state for one of them, and note who did so.

        An orphan that takes the state's place gets a higher serial number than both had: no plan that was made for
        either of them fits it.

        Raises:
            ConflictError: the state has changed meanwhile.
            RefusedError: a command of OpenTofu holds the lock.
        """
        keys, before = self._states.keys, self._states.sealed(environment)
        aside = {each.digest: each.raw for each in orphans}
        after = ""
        if choice.keep:
            current = self._states.load(environment)
            after = self._successor(choice.keep, current)
            if current is not None:
                aside[tofu_states.digest(current)] = json.dumps({"at": choice.at, "owner": "", "state": before})
        kept = f"orphan {choice.keep.id}" if choice.keep else "current"
        settled = ", ".join(each.id for each in orphans)
        note = {"what": "settled", "kept": kept, "orphans": settled, "user": choice.by, "reason": choice.reason}
        places = (keys.tofu_state, keys.tofu_orphans, keys.tofu_settled, keys.tofu_audit)
        words = (word for pair in aside.items() for word in pair)
        names = [place(environment) for place in places]
        _granted(self._settle(names, before, after, self._retention_seconds, json.dumps(note), *words), environment)

    def _successor(self, orphan: Orphan, current: bytes | None) -> str:
        serial = tofu_states.read(current).serial if current else 0
        return self._states.box.seal(tofu_states.renumbered(orphan.content, max(serial, orphan.state.serial) + 1))

    def _read(self, environment: str, key: str) -> tuple[Orphan, ...]:
        kept = cast("Mapping[str, str]", self._states.client.hgetall(key))
        found = (self._orphan(environment, digest, raw) for digest, raw in kept.items())
        return tuple(sorted(found, key=lambda orphan: (orphan.at, orphan.digest)))

    def _orphan(self, environment: str, digest: str, raw: str) -> Orphan:
        fields = json.loads(raw)
        content = self._states.box.open(fields["state"], f"a late OpenTofu state of {environment}")
        return Orphan(digest, fields["at"], fields["owner"], content, raw)


class OwnOrphans:
    """Those of one environment, for a step of its run."""

    def __init__(self, store: OrphanStore, states: TofuState, owner: Owner) -> None:
        self._store = store
        self._states = states
        self._owner = owner

    def keep(self, content: bytes) -> None:
        """Keep one more; one that was kept before, or settled, is not kept again."""
        self._states.save(self._owner, "", content)

    def check(self) -> None:
        """See that none waits to be settled; one of which the state knows everything is settled here.

        Raises:
            OrphanedStateError: one does.
        """
        name = self._owner.environment
        waiting = self._store.waiting(name)
        if not waiting:
            return
        current = self._states.load(name)
        known = tofu_states.read(current) if current else tofu_states.EMPTY
        if not all(orphan.state.within(known) for orphan in waiting):
            raise OrphanedStateError(_UNSETTLED.format(len(waiting), name, name))
        choice = Choice(None, self._owner.name, "the state knows all that is in them", time.time())
        with contextlib.suppress(ConflictError):  # it was encrypted anew: the next look settles them
            self._store.settle(name, waiting, choice)


def named(orphans: Sequence[Orphan], word: str) -> Orphan:
    """The orphan that an operator means by `word`, the start of its id.

    Raises:
        NotFoundError: none, or more than one.
    """
    found = [orphan for orphan in orphans if orphan.digest.startswith(word)] if word else []
    if len(found) != 1:
        ids = ", ".join(orphan.id for orphan in orphans) or "there are none"
        raise NotFoundError(f"orphan {word!r}", f"the orphans are: {ids}")
    return found[0]


def _granted(answer: list[str], environment: str) -> None:
    if answer[0] == "changed":
        raise ConflictError(f"the OpenTofu state of {environment} changed meanwhile", "look again, then repeat")
    if answer[0] == "locked":
        who = json.loads(answer[1]).get("Who", "somebody")
        advice = f"wait for it; if that worker is dead, `stepmark state force-unlock {environment}`"
        raise RefusedError(f"the OpenTofu state of {environment} is locked by {who}", advice)
