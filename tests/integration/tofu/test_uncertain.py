"""With the real program: hosts that no state knows are imported, and states that came too late are kept aside."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest

from config.fleet import EnvironmentSpec
from config.providers import registry as declared
from tasks import errors
from tasks.adapters import tofu_salvage, tofu_states
from tasks.context import StepContext
from tasks.providers.base import Found
from tasks.result import Ending
from tasks.steps import tofu
from tests.integration.tofu.test_tofu import MAIN, STEPS, Bench, bench

__all__ = ["bench"]


@dataclass
class Late:
    """Orphans: those that were kept."""

    kept: list[bytes] = field(default_factory=list)

    def keep(self, content: bytes) -> None:
        self.kept.append(content)

    def check(self) -> None:
        if self.kept:
            raise errors.OrphanedStateError("one waits")


def test_a_host_that_no_state_knows_is_imported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state was lost with the worker; the next apply makes what is missing, and not the host."""
    importable = MAIN.replace("  triggers_replace = [var.image]\n", "")
    (declared.templates("existing") / "main.tf").write_text(importable)
    facts, _ = bench.perform(*STEPS[:4])

    def find(environment: EnvironmentSpec, context: StepContext) -> Found:
        del context
        return Found("127.0.0.7", environment.name)

    monkeypatch.setattr(bench.provider, "find", find, raising=False)

    result = tofu.apply(facts, replace(bench.context, uncertain=True))

    state = tofu_states.read(bench.store.state or b"")
    assert state.resources["terraform_data.host"] == "web-1"
    assert sorted(state.resources) == ["terraform_data.boot", "terraform_data.host"]
    assert (result.ending, bench.store.lock) == (Ending.DONE, None)
    assert result.note == "1 added, 1 changed, 0 destroyed; host web-1 of the earlier apply was taken over"


def test_a_state_that_others_went_past_is_kept_aside(bench: Bench) -> None:
    """A worker comes back with the state that it could not save; another one has made the host meanwhile."""
    late, path = Late(), bench.context.workspace / tofu_salvage.ERRORED
    facts, _ = bench.perform(*STEPS[:4])
    bench.store.refuse = {"POST": 507}
    with pytest.raises(errors.StateError):
        bench.perform(tofu.apply, facts=facts)
    left = path.read_bytes()
    path.unlink()
    bench.store.refuse = {}
    bench.perform(tofu.apply, facts=facts)
    path.write_bytes(left)

    with pytest.raises(errors.OrphanedStateError):
        tofu.plan(facts, replace(bench.context, orphans=late))

    assert late.kept == [left]
    assert not tofu_states.read(left).within(tofu_states.read(bench.store.state or b""))
    assert not tofu_salvage.errored(bench.context.workspace)
    assert json.loads(bench.store.state or b"{}")["lineage"] != json.loads(left)["lineage"]
