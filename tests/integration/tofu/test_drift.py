"""With the real program: what a look for drift sees, and that it changes neither the state nor the workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config.providers import registry as declared
from tasks import errors
from tasks.facts import Facts, PlanSummary
from tasks.providers.base import Found
from tasks.result import Drift, Ending
from tasks.steps import drift
from tests.integration.tofu.test_tofu import MAIN, STEPS, Bench, bench

__all__ = ["bench"]

NOTHING = PlanSummary(add=0, change=0, destroy=0)


@pytest.fixture
def made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """A host that was made, and that the provider knows; the store takes nothing from now on."""
    monkeypatch.setattr(bench.provider, "find", lambda *_: Found("127.0.0.7", "web-1"), raising=False)
    facts, _ = bench.perform(*STEPS)
    bench.store.refuse = dict.fromkeys(("LOCK", "POST", "UNLOCK"), 500)
    return facts


def files(folder: Path) -> dict[str, bytes]:
    """What is kept of a workspace."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".terraform" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def look(bench: Bench, facts: Facts) -> Drift | None:
    before = files(bench.context.workspace), bench.store.state
    result = drift.look(facts, bench.context)
    assert (files(bench.context.workspace), bench.store.state) == before
    assert (result.facts, result.ending is Ending.DONE) == (facts, bool(result.note))
    return result.drift


def test_as_declared(bench: Bench, made: Facts) -> None:
    assert look(bench, made) == Drift(NOTHING)


def test_declared_otherwise(bench: Bench, made: Facts) -> None:
    bench.provider.values["image"] = "debian-13"

    found = look(bench, made)

    said = "terraform_data.boot: replace, terraform_data.host: replace"
    assert found == Drift(PlanSummary(add=2, change=0, destroy=2), said)
    assert "Plan: 2 to add, 0 to change, 2 to destroy." in bench.log
    assert not any("hunter22" in line or "PRIVATE KEY" in line for line in bench.log)


def test_another_template(bench: Bench, made: Facts) -> None:
    template = declared.templates("existing") / "main.tf"
    template.write_text(MAIN + 'resource "terraform_data" "disk" {\n  input = 20\n}\n')
    assert look(bench, made) == Drift(PlanSummary(add=1, change=0, destroy=0), "terraform_data.disk: create")

    template.write_text(MAIN.replace('status     = "running"', 'status     = "new"'))
    assert look(bench, made) == Drift(NOTHING, "outputs only")


def test_on_a_worker_that_has_never_seen_the_host(bench: Bench, made: Facts) -> None:
    """Nothing of `.terraform` is there, and the providers are fetched for what is declared now."""
    shutil.rmtree(bench.context.workspace / ".terraform")

    assert look(bench, made) == Drift(NOTHING)


def test_the_next_run_finds_its_workspace(bench: Bench, made: Facts) -> None:
    """After a look at other templates, which shares what was downloaded."""
    template = declared.templates("existing") / "main.tf"
    template.write_text(MAIN + "# another one\n")
    look(bench, made)
    template.write_text(MAIN)
    bench.store.refuse = {}

    facts, endings = bench.perform(*STEPS[2:], facts=made)

    assert (facts.address, endings) == ("127.0.0.7", [Ending.DONE] + [Ending.UNCHANGED] * 3)


def test_a_state_that_cannot_be_read_is_no_drift(bench: Bench, made: Facts) -> None:
    bench.store.refuse["GET"] = 500

    with pytest.raises(errors.StateError):
        drift.look(made, bench.context)
