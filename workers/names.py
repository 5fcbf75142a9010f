"""Names: environments that are forgotten, or get another name. No host is doubled by that, or lost sight of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

from config.fleet import EnvironmentSpec
from tasks.environment import State
from tasks.facts import Facts
from tasks.failure import RULES, FailureContext, advice
from tasks.identity import SCHEMA
from workers import verbs
from workers.connection import Script
from workers.records import EnvironmentRecord, Gone, RunRecord
from workers.refusals import BusyError, ConflictError, HeldError, RefusedError
from workers.runtime import Base


@dataclass(frozen=True)
class Reasons:
    """Why an operator does it. host_is_gone: they have looked; no host is left."""

    reason: str
    host_is_gone: bool = False


class Names:
    """Every change is one script: all of it, or a refusal that changed nothing."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._forget = Script(base.client, "forget")
        self._adopt = Script(base.client, "adopt", shows=True)

    def host_name(self, record: EnvironmentRecord) -> str | None:
        """The name that its host goes by at the provider, if we made one that may still be there.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        facts = self._base.store.facts(record.name)
        if self._base.client.exists(self._base.keys.tofu_orphans(record.name)) or _may_have_host(record, facts):
            return facts.host_name or record.name
        return None

    def forget(self, name: str, reasons: Reasons) -> Gone:
        """Remove the record of an environment, or free a name that is reserved for the host of a renamed one.

        Raises:
            RefusedError, BusyError, ConflictError: a host may be there, or a run is; or it has changed meanwhile.
            NotFoundError: there is no such environment.
        """
        if (moved_to := self._moved_to(name)) is not None:
            return self._free(name, moved_to, reasons)
        record = self._base.store.environment(name)
        host_name = self.host_name(record)
        if host_name and not reasons.host_is_gone:
            advice = "`stepmark destroy` ends it; if you have seen that it is gone, say --host-is-gone"
            raise RefusedError(f"environment {name} is {record.state}: its host {host_name} may be there", advice)
        return self._forgotten(name, str(record.revision), _gone(record.state, reasons), host_name or name)

    def adopt(self, name: str, new_name: str, reason: str) -> Gone:
        """Call an environment `new_name` from now on. Its host keeps the name that it was made under.

        Raises:
            RefusedError, BusyError, ConflictError: the new name is taken, a run is there, or it has changed.
            NotFoundError: there is no such environment.
        """
        record = self._base.store.environment(name)
        host_name = self.host_name(record)
        gone = _gone(record.state, Reasons(reason)).model_copy(update={"moved_to": new_name})
        spec = EnvironmentSpec.model_validate_json(record.spec).model_copy(update={"name": new_name})
        history = (*self._base.store.history(name), *self._base.store.checks(name))
        runs = tuple(self._base.store.runs(history).values())
        keys, moved = self._base.keys, self._kept(name, new_name)
        answer = self._adopt(
            (
                *(keys.environment(name), keys.environment(new_name), keys.environments(), keys.gone()),
                *(keys.overview(), keys.facts(new_name), keys.environment(host_name or name)),
                *(key for pair in moved for key in pair),
                *(keys.run(run.run) for run in runs),
            ),
            *(name, new_name, record.revision, spec.model_dump_json(), host_name or "", SCHEMA),
            *(gone.model_dump_json(), len(moved), *(_failure(run, new_name) for run in runs)),
        )
        self._granted(answer, name, new_name)
        return gone

    def _moved_to(self, name: str) -> str | None:
        """The environment whose host goes by this name, which is reserved for it."""
        return cast("str | None", self._base.client.hget(self._base.keys.environment(name), "moved_to"))

    def _free(self, name: str, moved_to: str, reasons: Reasons) -> Gone:
        record = next((each for each in self._base.store.environments() if each.name == moved_to), None)
        if record and self.host_name(record) == name and not reasons.host_is_gone:
            advice = f"destroy {moved_to} first; its host goes by this name at the provider"
            raise RefusedError(f"the name {name} is reserved for the host of environment {moved_to}", advice)
        return self._forgotten(name, "0", _gone("moved", reasons), name)

    def _forgotten(self, name: str, revision: str, gone: Gone, host_name: str) -> Gone:
        keys = self._base.keys
        stay = (keys.traces(name), keys.tofu_audit(name))
        answer = self._forget(
            (
                *(keys.environment(name), keys.environments(), keys.gone(), keys.overview(), *stay),
                keys.environment(host_name),
                *(key for key, _ in self._kept(name, name) if key not in stay),
            ),
            *(name, revision, gone.model_dump_json(), self._base.retention_seconds),
        )
        self._granted(answer, name, name)
        return gone

    def _kept(self, name: str, new_name: str) -> list[tuple[str, str]]:
        """Every key that is kept of an environment beside its record, under both names."""
        keys = self._base.keys
        kinds = (keys.facts, keys.runs, keys.checks, keys.traces, keys.workspace)
        states = (keys.tofu_state, keys.tofu_orphans, keys.tofu_settled, keys.tofu_audit)
        return [(kind(name), kind(new_name)) for kind in (*kinds, *states)]

    def _granted(self, answer: list[str], name: str, new_name: str) -> None:
        what, *detail = answer
        if what == "busy":
            said, advice = f"run {detail[0]} is going on in environment {name}", f"`stepmark status {name}` shows it"
            raise BusyError(said, advice, name, detail[0])
        if what == "held":
            said = f"a tool may still be at work for environment {name}"
            raise HeldError(said, f"try again in {detail[0]} s", float(detail[0]))
        if what == "conflict":
            raise ConflictError(f"environment {name} was changed by somebody else", "look again, then repeat")
        if what == "exists":
            advice = f"`stepmark forget {new_name}` frees the name, if nothing of it is needed"
            raise RefusedError(f"there is an environment {new_name} already", advice)


def _may_have_host(record: EnvironmentRecord, facts: Facts) -> bool:
    """Whether a host that was made by us may be there: its templates were rendered, and it was not destroyed since."""
    return record.state not in (State.CREATED, State.DESTROYED) and facts.tofu_digest is not None


def _gone(state: str, reasons: Reasons) -> Gone:
    return Gone(
        at=time.time(), by=verbs.whoami(), reason=reasons.reason, state=state, host_is_gone=reasons.host_is_gone
    )


def _failure(run: RunRecord, new_name: str) -> str:
    """A run's failure under the new name, its hint with the command that goes on now."""
    if run.failure is None:
        return ""
    rule = RULES[run.failure.cause, run.failure.error_kind]
    old, new = (advice(rule, run.tracked(), name) for name in (run.environment, new_name))
    update = {"environment": new_name, "hint": run.failure.hint.replace(old, new)}
    moved: FailureContext = run.failure.model_copy(update=update)
    return moved.model_dump_json()
