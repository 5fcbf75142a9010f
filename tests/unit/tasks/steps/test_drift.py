"""Looking for drift: what is asked of OpenTofu and of the provider, what is said, and that nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from config.fleet import SecretRef
from tasks import errors
from tasks.facts import Facts, PlanSummary
from tasks.providers.base import Found, Need
from tasks.result import Drift, Ending, Result
from tasks.steps import drift, tofu
from tests.unit.tasks.adapters.test_tofu import planned
from tests.unit.tasks.commands import Answer
from tests.unit.tasks.steps.test_tofu import Bench, bench

__all__ = ["bench"]

PLAN = "tofu plan -input=false -lock=false -detailed-exitcode -out=plan.tfplan -json"
MADE = Facts(tofu_digest="a", address="192.0.2.7")
RUNS = Found("192.0.2.7", "42")
NOTHING = PlanSummary(add=0, change=0, destroy=0)
REPLACED = "terraform_data.boot: replace, terraform_data.host: replace"


@pytest.fixture
def made(bench: Bench) -> Bench:
    """A host that was made, and runs: its workspace has been rendered and initialised."""
    tofu.render(Facts(), bench.context)
    tofu.init(Facts(), bench.context)
    bench.commands.asked.clear()
    bench.provider.found = RUNS
    return bench


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_host_that_is_as_declared(made: Bench) -> None:
    made.commands.script["tofu plan"] = planned("plan-nothing")

    assert drift.look(MADE, made.context) == Result(MADE, Ending.UNCHANGED, "", Drift(NOTHING))
    assert made.commands.texts == [PLAN]


@pytest.mark.parametrize(
    ("case", "found", "counts", "summary"),
    [
        ("plan-replaces", RUNS, PlanSummary(add=2, change=0, destroy=2), REPLACED),
        ("plan-creates", None, PlanSummary(add=2, change=0, destroy=0), REPLACED.replace("replace", "create")),
        ("plan-nothing", None, NOTHING, "terraform_data.host: the provider has no such host"),
        ("plan-nothing", replace(RUNS, stopped=True), NOTHING, "terraform_data.host: host 42 does not run"),
        (
            "plan-replaces",
            replace(RUNS, stopped=True),
            PlanSummary(add=2, change=0, destroy=2),
            f"{REPLACED}, terraform_data.host: host 42 does not run",
        ),
    ],
    ids=["declared otherwise", "gone", "gone, and no plan says so", "stopped", "both"],
)
def test_drift(made: Bench, case: str, found: Found | None, counts: PlanSummary, summary: str) -> None:
    made.provider.found = found
    made.commands.script["tofu plan"] = planned(case)

    assert drift.look(MADE, made.context) == Result(MADE, Ending.DONE, summary, Drift(counts, summary))


def test_outputs_alone(made: Bench) -> None:
    made.commands.script["tofu plan"] = replace(planned("plan-nothing"), exit_status=2)

    assert drift.look(MADE, made.context).drift == Drift(NOTHING, "outputs only")


def test_a_provider_that_cannot_look_leaves_it_to_the_plan(made: Bench) -> None:
    made.provider.found = errors.CannotFindError("lxd")
    made.commands.script["tofu plan"] = planned("plan-nothing")

    assert drift.look(MADE, made.context).drift == Drift(NOTHING)


def test_nothing_is_changed(made: Bench) -> None:
    """What is rendered anew, and the plan, are in a copy; the next step finds the workspace as it was."""
    (made.context.workspace / "plan.tfplan").write_text("saved, to be applied")
    before = files(made.context.workspace)
    (made.templates / "main.tf").write_text("# changed since\n")
    seen: list[dict[str, bytes]] = []
    run, workspace = made.commands.run, made.context.workspace

    def watch(command, session):  # type: ignore[no-untyped-def]  # as Commands.run
        seen.append(files(command.cwd))
        assert command.cwd != workspace
        return run(command, session)

    made.commands.script["tofu plan"] = planned("plan-replaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.adapters.process.run", watch)
        assert drift.look(MADE, made.context).facts == MADE

    after = files(made.context.workspace)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {".terraform/stepmark-init"}
    assert seen[0]["main.tf"] == b"# changed since\n"
    assert seen[0]["ssh_host_ed25519_key"] == before["ssh_host_ed25519_key"]
    assert "plan.tfplan" not in seen[0]


def test_secrets_are_kept_out_of_what_is_said(made: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEP_TEST_TOKEN", "hunter22")
    made.provider.secret = {"token": SecretRef.model_validate("env:STEP_TEST_TOKEN")}
    said = planned("plan-replaces")
    named = said.stdout.replace("terraform_data.boot", "x.boot[hunter22]")
    made.commands.script["tofu plan"] = replace(said, stdout=named)

    result = drift.look(MADE, made.context)

    assert result.drift is not None
    assert result.drift.summary == "terraform_data.host: replace, x.boot[***]: replace"


@pytest.mark.parametrize(
    ("lacking", "facts", "ending", "reason"),
    [
        ({Need.PROVISIONING: "it exists"}, MADE, Ending.NOT_POSSIBLE, "the host was registered, not made here: "),
        ({}, Facts(), Ending.SKIPPED, "nothing was ever made"),
    ],
)
def test_where_nothing_can_be_compared(
    bench: Bench, lacking: dict[Need, str], facts: Facts, ending: Ending, reason: str
) -> None:
    bench.provider.lacking = lacking

    result = drift.look(facts, bench.context)

    assert (result.facts, result.ending, result.drift) == (facts, ending, None)
    assert result.note.startswith(reason)
    assert bench.commands.asked == []


def test_a_state_that_was_not_saved_is_saved_first(made: Bench) -> None:
    """Without it a plan would take for gone what is there."""
    (made.context.workspace / "errored.tfstate").write_text("{}")

    with pytest.raises(errors.StateError, match=r"^errored\.tfstate in the workspace, left by an earlier apply"):
        drift.look(MADE, made.context)

    assert made.commands.asked == []


def test_a_plan_that_fails_says_nothing_of_drift(made: Bench) -> None:
    made.commands.script["tofu plan"] = Answer(stderr="Error: no such region\n", exit_status=1)

    with pytest.raises(errors.InfrastructureError, match="tofu plan: no such region"):
        drift.look(MADE, made.context)
