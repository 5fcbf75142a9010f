"""The steps with the real program, a root module of built-in resources only, and a store on loopback."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.fleet import EnvironmentSpec, SecretRef
from config.providers import registry as declared
from config.settings import Settings
from tasks import errors
from tasks.adapters import ssh, templates, tofu_folder, tofu_salvage
from tasks.adapters import tofu as adapter
from tasks.context import Options, StepContext
from tasks.facts import Facts, PlanSummary
from tasks.providers import registry
from tasks.providers.base import Found, Need
from tasks.result import Ending
from tasks.steps import tofu
from tests.integration.tofu.store import Store
from tests.unit.tasks.commands import session

MAIN = """\
terraform {
  backend "http" {}
}

variable "name" { type = string }

variable "user_data" {
  type      = string
  sensitive = true
}

variable "image" { type = string }

variable "boot" { type = string }

variable "token" {
  type      = string
  sensitive = true
}

resource "terraform_data" "host" {
  input            = var.name
  triggers_replace = [var.image]
}

resource "terraform_data" "boot" {
  triggers_replace = [terraform_data.host.id]

  provisioner "local-exec" { command = var.boot }
}

output "instance_info" {
  value = {
    name       = terraform_data.host.output
    image      = var.image
    status     = "running"
    ip_address = "127.0.0.7"
    ssh_port   = 2222
  }
}
"""

STEPS = (tofu.render, tofu.init, tofu.validate, tofu.plan, tofu.apply, tofu.read_instance)


@dataclass
class Made:
    """A provider whose hosts are made of nothing. boot: the command that starts one."""

    name: str = "existing"
    resource: str = "terraform_data.host"
    boot: str = ""
    values: dict[str, str] = field(default_factory=lambda: {"image": "debian-12", "boot": "true"})

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        del environment
        return self.values

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        del environment
        return {"token": SecretRef.model_validate("env:TOFU_TEST_TOKEN")}

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        del environment
        return {}

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        del environment, context
        return None


@dataclass
class Bench:
    """One environment, worked on by workers that share nothing but its files and the store."""

    context: StepContext
    provider: Made
    store: Store
    log: list[str]

    def perform(self, *steps: Any, facts: Facts | None = None, **options: bool) -> tuple[Facts, list[Ending]]:
        context = replace(self.context, options=Options(**options))
        known, endings = facts or Facts(), list[Ending]()
        for step in steps:
            result = step(known, context)
            known, endings = result.facts, [*endings, result.ending]
        return known, endings

    @property
    def resources(self) -> list[str]:
        known = json.loads(self.store.state or b'{"resources": []}')["resources"]
        return sorted(resource["name"] for resource in known)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    if not (shutil.which("tofu") or shutil.which("terraform")):
        pytest.skip("neither tofu nor terraform is on PATH")
    made, store, log = Made(), Store(), list[str]()
    for name in ("templates", "workspace"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates" / "main.tf").write_text(MAIN)
    monkeypatch.setattr(registry, "get", lambda _: made)
    monkeypatch.setattr(declared, "templates", lambda _: tmp_path / "templates")
    monkeypatch.setenv("TOFU_TEST_KEY", ssh.generate_host_key()[0])
    monkeypatch.setenv("TOFU_TEST_TOKEN", "hunter22")
    environment = EnvironmentSpec.model_validate(
        {
            "name": "web-1",
            "provider": {"name": "existing", "address": "192.0.2.1"},
            "ssh": {"key": "env:TOFU_TEST_KEY"},
        }
    )
    known = Settings(data_dir=tmp_path / "data")
    context = StepContext(environment, tmp_path / "workspace", known, session(log), Options(), store.serve)
    return Bench(context, made, store, log)


def test_a_host_from_nothing_to_its_end(bench: Bench) -> None:
    facts, endings = bench.perform(*STEPS)

    assert (endings, bench.resources, bench.store.lock) == ([Ending.DONE] * 6, ["boot", "host"], None)
    assert facts == Facts(
        tofu_digest=facts.tofu_digest,
        templates_digest=facts.templates_digest,
        host_key=facts.host_key,
        host_key_source="given",
        provider_lock="built-in",
        plan=PlanSummary(add=2, change=0, destroy=0),
        state_serial=1,
        address="127.0.0.7",
        ssh_port=2222,
        instance_name="web-1",
        instance_image="debian-12",
        instance_status="running",
    )

    again, endings = bench.perform(*STEPS, facts=facts)
    unchanged = [Ending.UNCHANGED] * 2 + [Ending.DONE] + [Ending.UNCHANGED] * 3
    assert (again, endings) == (facts.model_copy(update={"plan": PlanSummary(add=0, change=0, destroy=0)}), unchanged)

    ended, endings = bench.perform(tofu.destroy, tofu.clean_workspace, facts=facts)
    assert (ended.instance_status, endings, bench.resources) == ("destroyed", [Ending.DONE] * 2, [])
    assert list(bench.context.workspace.iterdir()) == []
    assert not any("hunter22" in line or "PRIVATE KEY" in line for line in bench.log)


def test_every_step_on_another_worker(bench: Bench, tmp_path: Path) -> None:
    """Each has its own cache, no `.terraform`, and serves the state on another port."""
    facts = Facts()
    for number, step in enumerate((*STEPS, tofu.destroy)):
        shutil.rmtree(bench.context.workspace / ".terraform", ignore_errors=True)
        known = Settings(data_dir=tmp_path / f"worker-{number}")
        facts = step(facts, replace(bench.context, settings=known)).facts

    assert (facts.address, facts.instance_status, bench.resources) == ("127.0.0.7", "destroyed", [])


def test_a_boot_that_failed_is_resumed_at_apply(bench: Bench) -> None:
    """What it left half made is replaced without `--allow-destroy`."""
    flag = bench.context.workspace.parent / "mended"
    bench.provider.values["boot"] = f"test -e {flag} || {{ echo no kernel; exit 3; }}"
    facts, _ = bench.perform(*STEPS[:4])

    with pytest.raises(errors.InfrastructureError) as caught:
        bench.perform(tofu.apply, facts=facts)
    assert re.match(
        r"(tofu|terraform) apply: local-exec provisioner error: Error running command 'test -e", caught.value.summary
    )
    assert caught.value.summary.endswith("exit status 3. Output: no kernel")

    flag.touch()
    resumed, endings = bench.perform(tofu.apply, tofu.read_instance, facts=facts)
    assert (resumed.plan, endings) == (PlanSummary(add=1, change=0, destroy=1), [Ending.DONE] * 2)


def test_apply_resumed_after_it_was_done(bench: Bench) -> None:
    facts, _ = bench.perform(*STEPS[:4])
    bench.perform(tofu.apply, facts=facts)

    resumed, endings = bench.perform(tofu.apply, facts=facts)

    assert (resumed.plan, resumed.state_serial, endings) == (
        PlanSummary(add=0, change=0, destroy=0),
        1,
        [Ending.UNCHANGED],
    )


def test_an_apply_that_ran_out_of_time_loses_no_state(bench: Bench) -> None:
    """It is interrupted, writes down what it made, gives the lock back, and can be resumed."""
    bench.provider.values["boot"] = "sleep 600"
    facts, _ = bench.perform(*STEPS[:4])
    hurried = replace(bench.context, session=session(bench.log, seconds=3))

    with pytest.raises(errors.DeadlineError) as caught:
        tofu.apply(facts, hurried)
    assert "terraform_data.boot: Creating..." in caught.value.output_tail.splitlines()
    assert (bench.resources, bench.store.lock) == (["boot", "host"], None)

    bench.provider.values["boot"] = "true"
    resumed, _ = bench.perform(*STEPS, facts=facts)
    assert (resumed.plan, resumed.address) == (PlanSummary(add=1, change=0, destroy=1), "127.0.0.7")


def test_another_image_would_be_another_host(bench: Bench) -> None:
    facts, _ = bench.perform(*STEPS)
    bench.provider.values["image"] = "debian-13"

    with pytest.raises(errors.DestroyRefusedError) as caught:
        bench.perform(*STEPS[:4], facts=facts)
    assert str(caught.value) == "the plan would destroy or replace terraform_data.boot, terraform_data.host"

    replaced, _ = bench.perform(*STEPS, facts=facts, allow_destroy=True)
    assert (replaced.instance_image, replaced.plan) == ("debian-13", PlanSummary(add=2, change=0, destroy=2))


def test_a_state_that_the_store_refused_is_given_to_it_later(bench: Bench) -> None:
    facts, _ = bench.perform(*STEPS[:4])
    bench.store.refuse = {"POST": 507}

    for _ in range(2):
        with pytest.raises(errors.StateError):
            bench.perform(tofu.apply, facts=facts)
    assert (bench.resources, (bench.context.workspace / tofu_salvage.ERRORED).exists()) == ([], True)

    bench.store.refuse = {}
    resumed, endings = bench.perform(tofu.apply, tofu.read_instance, facts=facts)

    assert (resumed.plan, endings) == (PlanSummary(add=0, change=0, destroy=0), [Ending.UNCHANGED, Ending.DONE])
    assert (bench.resources, (bench.context.workspace / "pushed-1.tfstate").exists()) == (["boot", "host"], True)


@pytest.mark.parametrize(("method", "status"), [("GET", 500), ("LOCK", 500), ("GET", 401)])
def test_a_store_that_does_not_answer_is_a_state_error(bench: Bench, method: str, status: int) -> None:
    facts, _ = bench.perform(*STEPS[:3])
    bench.store.refuse = {method: status}

    with pytest.raises(errors.StateError):
        bench.perform(tofu.plan, facts=facts)


def test_a_configuration_that_is_not_valid(bench: Bench) -> None:
    (declared.templates("existing") / "more.tf").write_text('resource "terraform_data" "a" {\n  inputs = 1\n}\n')

    with pytest.raises(
        errors.InfrastructureError, match=r"^(tofu|terraform) validate: Unsupported argument: An argument named"
    ):
        bench.perform(*STEPS[:3])


def test_the_plan_is_shown_without_secrets(bench: Bench) -> None:
    bench.perform(*STEPS[:4])

    assert "Plan: 2 to add, 0 to change, 0 to destroy." in bench.log
    assert '  + resource "terraform_data" "host" {' in bench.log
    assert not any("hunter22" in line or "cloud-config" in line for line in bench.log)


ECHO = """\
variable "values" { type = list(string) }

output "instance_info" { value = var.values }
"""
NASTY = ["${var.values}", "%{ if true }x%{ endif }", "$${a}", '"}\noutput "b" { value = 1 }', "\u2028\t\\", "e\u0301"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(NASTY), min_size=20, max_size=60))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_through_the_variables(bench: Bench, values: list[str]) -> None:
    """The program itself reads them; it puts text into Unicode's normal form C and changes nothing else."""
    path = bench.context.workspace
    templates.write(path / "main.tf", ECHO)
    templates.write(path / "stepmark.auto.tfvars.json", templates.to_json({"values": [*values, *NASTY]}))
    for left in ("terraform.tfstate", adapter.PLAN):
        (path / left).unlink(missing_ok=True)
    folder = tofu_folder.open_folder(path, bench.context.settings, bench.context.session, {})

    adapter.apply(folder, allow_destroy=False)

    done = tofu_folder.run(folder, "output", "-json", quiet=True).completed
    read = json.loads(done.stdout)["instance_info"]["value"]
    assert read == [unicodedata.normalize("NFC", value) for value in [*values, *NASTY]]
