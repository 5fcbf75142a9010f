from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.fleet import EnvironmentSpec, SecretRef
from config.providers import registry as declared
from config.settings import Settings
from tasks import errors
from tasks.adapters import cloud_init, process, ssh
from tasks.context import Options, StepContext
from tasks.facts import Facts, PlanSummary
from tasks.providers import registry
from tasks.providers.base import Found, Need
from tasks.result import Ending, Result
from tasks.steps import root, tofu
from tests.unit.tasks.adapters.test_tofu import APPLY, DESTROY, INFO, PLAN, answer, outputs, planned
from tests.unit.tasks.commands import Answer, Commands, session


@dataclass
class Made:
    """A provider of the tests' own."""

    name: str = "existing"
    resource: str = "terraform_data.host"
    boot: str = ""
    lacking: dict[Need, str] = field(default_factory=dict)
    secret: dict[str, SecretRef] = field(default_factory=dict)
    found: Found | errors.StepmarkError | None = None

    def variables(self, environment: EnvironmentSpec) -> Mapping[str, object]:
        return {"size": "small", "labels": environment.labels}

    def secrets(self, environment: EnvironmentSpec) -> Mapping[str, SecretRef]:
        del environment
        return self.secret

    def lacks(self, environment: EnvironmentSpec) -> Mapping[Need, str]:
        del environment
        return self.lacking

    def find(self, environment: EnvironmentSpec, context: StepContext) -> Found | None:
        del environment, context
        if isinstance(self.found, errors.StepmarkError):
            raise self.found
        return self.found


@dataclass
class Bench:
    """One environment, whose provider has one template, and whose programs are scripted."""

    context: StepContext
    commands: Commands
    provider: Made
    templates: Path

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.context.workspace.iterdir())

    def text(self, name: str) -> str:
        return (self.context.workspace / name).read_text()


def host_key() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *form).decode()
    return private, cloud_init.public_key(private)


LOGIN_PRIVATE, LOGIN = host_key()


def environment(**cloud: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {
            "name": "web-1",
            "provider": {"name": "existing", "address": "192.0.2.1"},
            "ssh": {"key": "env:STEP_TEST_KEY"},
            "labels": {"role": "${web}"},
            "parameters": {"cloud_init": cloud},
        }
    )


@contextmanager
def state() -> Iterator[Mapping[str, str]]:
    yield {"TF_HTTP_ADDRESS": "http://127.0.0.1:4000/web-1"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made, commands, folder = Made(), Commands(), tmp_path / "templates"
    commands.script = {
        "tofu init": Answer(files={".terraform/terraform.tfstate": "{}"}),
        "tofu validate": Answer("{}"),
        "tofu show": Answer(),
    }
    for path in (folder, tmp_path / "workspace"):
        path.mkdir()
    (folder / "main.tf").write_text("# static\n")
    program = tmp_path / "tofu"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(process, "run", commands.run)
    monkeypatch.setattr(ssh, "generate_host_key", host_key)
    monkeypatch.setattr(registry, "get", lambda _: made)
    monkeypatch.setattr(declared, "templates", lambda _: folder)
    monkeypatch.setenv("STEP_TEST_KEY", LOGIN_PRIVATE)
    settings = Settings(tofu_binary=str(program), data_dir=tmp_path / "data")
    context = StepContext(environment(), tmp_path / "workspace", settings, session(), Options(), state)
    return Bench(context, commands, made, folder)


def test_render(bench: Bench) -> None:
    result = tofu.render(Facts(), bench.context)

    variables = json.loads(bench.text("stepmark.auto.tfvars.json"))
    user_data = yaml.safe_load(variables.pop("user_data"))
    assert bench.names == ["main.tf", "ssh_host_ed25519_key", "stepmark.auto.tfvars.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in bench.context.workspace.iterdir()} == {0o600}
    assert (bench.text("main.tf"), variables) == (
        "# static\n",
        {"name": "web-1", "size": "small", "labels": {"role": "${web}"}},
    )
    assert user_data["users"] == [{"name": "root", "lock_passwd": False, "ssh_authorized_keys": [LOGIN]}]
    assert user_data["ssh_keys"]["ed25519_private"] == bench.text("ssh_host_ed25519_key")
    assert result == Result(
        Facts(
            tofu_digest=result.facts.tofu_digest,
            templates_digest=root.templates_digest(bench.context.environment),
            host_key=user_data["ssh_keys"]["ed25519_public"],
            host_key_source="given",
        )
    )


def test_render_again_changes_nothing(bench: Bench) -> None:
    """Another host key would be another host."""
    first = tofu.render(Facts(address="192.0.2.7"), bench.context)

    again = tofu.render(first.facts, bench.context)

    assert again == replace(first, ending=Ending.UNCHANGED)


def test_the_templates_have_a_digest_of_their_own(bench: Bench) -> None:
    """It tells changed templates from changed values."""
    environment = bench.context.environment
    before = root.templates_digest(environment)
    (bench.templates / "main.tf").write_text("# changed\n")

    assert root.templates_digest(environment.model_copy(update={"labels": {"a": "b"}})) != before
    (bench.templates / "main.tf").write_text("# static\n")
    assert root.templates_digest(environment.model_copy(update={"labels": {"a": "b"}})) == before


def test_render_notes_what_changed(bench: Bench) -> None:
    first = tofu.render(Facts(), bench.context)
    (bench.templates / "main.tf").rename(bench.templates / "host.tf")

    again = tofu.render(first.facts, bench.context)

    assert (again.ending, again.facts.tofu_digest == first.facts.tofu_digest) == (Ending.DONE, False)
    assert bench.names == ["host.tf", "ssh_host_ed25519_key", "stepmark.auto.tfvars.json"]


def test_the_host_key_is_kept_out_of_the_log(bench: Bench) -> None:
    tofu.render(Facts(), bench.context)

    line = bench.text("ssh_host_ed25519_key").splitlines()[1]
    assert bench.context.session.redact(f"key: {line}") == "key: ***"


def test_a_broken_template_is_said_to_be_one(bench: Bench, tmp_path: Path) -> None:
    template = tmp_path / "user.yaml.j2"
    template.write_text("fqdn: {{ nmae | yaml }}\n")
    context = replace(bench.context, environment=environment(template=str(template)))

    with pytest.raises(errors.TemplateError, match=r"^template user\.yaml\.j2: line 1: 'nmae' is undefined$"):
        tofu.render(Facts(), context)

    template.write_text("fqdn: {{ name | yaml }}\n")
    assert tofu.render(Facts(), context).ending == Ending.DONE


def test_what_is_not_made_here_is_not_rendered(bench: Bench) -> None:
    bench.provider.lacking = {Need.PROVISIONING: "it already exists"}

    with pytest.raises(errors.ConfigurationError, match=r"^web-1 cannot be provisioned: it already exists$"):
        tofu.render(Facts(), bench.context)

    assert bench.names == []


@pytest.mark.parametrize(("lock", "built_in"), [({}, True), ({".terraform.lock.hcl": "provider {}"}, False)])
def test_init(bench: Bench, lock: dict[str, str], built_in: bool) -> None:
    bench.commands.script["tofu init"] = Answer(files={".terraform/terraform.tfstate": "{}", **lock})

    first = tofu.init(Facts(), bench.context)
    again = tofu.init(first.facts, bench.context)

    assert (first.ending, first.facts.provider_lock == "built-in") == (Ending.DONE, built_in)
    assert again == Result(first.facts, Ending.UNCHANGED)


def test_validate(bench: Bench) -> None:
    assert tofu.validate(Facts(), bench.context) == Result(Facts())


def test_secrets_and_state_go_by_the_environment_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEP_TEST_TOKEN", "hunter22")
    bench.provider.secret = {"token": SecretRef.model_validate("env:STEP_TEST_TOKEN")}

    tofu.render(Facts(), bench.context)
    tofu.validate(Facts(), bench.context)

    command = bench.commands.asked[-1]
    assert {name: command.env[name] for name in ("TF_VAR_token", "TF_HTTP_ADDRESS")} == {
        "TF_VAR_token": "hunter22",
        "TF_HTTP_ADDRESS": "http://127.0.0.1:4000/web-1",
    }
    assert "hunter22" not in "".join([*command.argv, *(bench.text(name) for name in bench.names if "." in name[1:])])
    assert bench.context.session.redact("hunter22") == "***"


@pytest.mark.parametrize(
    ("case", "ending", "note"),
    [
        ("plan-creates", Ending.DONE, "2 to add, 0 to change, 0 to destroy"),
        ("plan-nothing", Ending.UNCHANGED, "0 to add, 0 to change, 0 to destroy"),
    ],
)
def test_plan(bench: Bench, case: str, ending: Ending, note: str) -> None:
    bench.commands.script["tofu plan"] = planned(case)

    result = tofu.plan(Facts(address="192.0.2.7"), bench.context)

    summary = PlanSummary(add=int(note[0]), change=0, destroy=0)
    assert result == Result(Facts(address="192.0.2.7", plan=summary), ending, note)


def test_a_plan_that_replaces_needs_the_operators_leave(bench: Bench) -> None:
    bench.commands.script["tofu plan"] = planned("plan-replaces")

    with pytest.raises(errors.DestroyRefusedError):
        tofu.plan(Facts(), bench.context)

    allowed = tofu.plan(Facts(), replace(bench.context, options=Options(allow_destroy=True)))
    assert allowed.facts.plan == PlanSummary(add=2, change=0, destroy=2)


def test_a_plan_that_starts_the_host_again_says_why_it_needs_no_leave(bench: Bench) -> None:
    """Also one that the apply has to make, because the saved one no longer fits."""
    bench.provider.boot = "terraform_data.boot"
    bench.commands.script |= {
        "tofu plan": planned("plan-starts"),
        "tofu apply": [answer("apply-stale"), replace(planned("plan-starts"), exit_status=0)],
        "tofu state pull": Answer('{"serial": 3}'),
    }

    notes = [tofu.plan(Facts(), bench.context).note, tofu.apply(Facts(), bench.context).note]

    why = "it replaces the start of the host, which loses nothing"
    assert notes == [f"1 to add, 0 to change, 1 to destroy; {why}", f"1 added, 0 changed, 1 destroyed; {why}"]


TWO = PlanSummary(add=2, change=0, destroy=0)
NONE = PlanSummary(add=0, change=0, destroy=0)


@pytest.mark.parametrize(
    ("case", "known", "serial", "ending"),
    [
        ("apply-creates", None, 1, Ending.DONE),
        ("apply-nothing", 1, 1, Ending.UNCHANGED),
        ("apply-nothing", None, 1, Ending.UNCHANGED),
        ("apply-nothing", 1, 2, Ending.DONE),
    ],
    ids=["made", "nothing", "nothing, after a resume", "outputs only"],
)
def test_apply(bench: Bench, case: str, known: int | None, serial: int, ending: Ending) -> None:
    (bench.context.workspace / "plan.tfplan").write_text("saved")
    # An empty apply counts as an empty plan does.
    bench.commands.script["tofu apply"] = answer("apply-creates" if case == "apply-creates" else "plan-nothing")
    bench.commands.script["tofu state pull"] = Answer(json.dumps({"serial": serial}))

    result = tofu.apply(Facts(plan=TWO, state_serial=known), bench.context)

    added = 2 if case == "apply-creates" else 0
    assert result == Result(Facts(plan=TWO, state_serial=serial), ending, f"{added} added, 0 changed, 0 destroyed")


def test_apply_resumed_after_it_was_done(bench: Bench) -> None:
    """The saved plan is stale; a new one finds nothing to do."""
    (bench.context.workspace / "plan.tfplan").write_text("saved")
    bench.commands.script |= {
        "tofu apply": [answer("apply-stale"), replace(answer("plan-nothing"), exit_status=0)],
        "tofu plan": planned("plan-nothing"),
        "tofu state pull": Answer('{"serial": 3}'),
    }

    result = tofu.apply(Facts(plan=TWO), bench.context)

    assert result == Result(Facts(plan=NONE, state_serial=3), Ending.UNCHANGED, "0 added, 0 changed, 0 destroyed")
    assert bench.commands.texts[1:] == [APPLY, PLAN, APPLY, "tofu state pull"]


def test_read_instance(bench: Bench) -> None:
    bench.commands.script["tofu output"] = outputs(INFO)

    result = tofu.read_instance(Facts(tofu_digest="a"), bench.context)

    assert result == Result(
        Facts(
            tofu_digest="a",
            address="192.0.2.7",
            ssh_port=2222,
            instance_name="web-1",
            instance_image="debian-12",
            instance_status="running",
        )
    )
    assert tofu.read_instance(result.facts, bench.context) == Result(result.facts, Ending.UNCHANGED)


@pytest.mark.parametrize(
    ("lacking", "facts", "reason"),
    [
        ({Need.PROVISIONING: "it already exists"}, Facts(), "the host was registered, not made here"),
        ({}, Facts(), "nothing was ever made"),
    ],
)
def test_nothing_to_destroy(bench: Bench, lacking: dict[Need, str], facts: Facts, reason: str) -> None:
    bench.provider.lacking = lacking

    assert tofu.destroy(facts, bench.context) == Result(facts, Ending.SKIPPED, reason)
    assert bench.commands.asked == []


def test_destroy_on_a_worker_that_has_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the login's key, which a host's end does not need."""
    monkeypatch.delenv("STEP_TEST_KEY")
    bench.commands.script |= {"tofu destroy": answer("destroy"), "tofu state pull": Answer('{"serial": 4}')}

    result = tofu.destroy(Facts(tofu_digest="a", address="192.0.2.7"), bench.context)

    assert result == Result(
        Facts(tofu_digest="a", address="192.0.2.7", instance_status="destroyed", state_serial=4),
        Ending.DONE,
        "0 added, 0 changed, 2 destroyed",
    )
    assert [text for text in bench.commands.texts if not text.startswith("tofu init")] == [DESTROY, "tofu state pull"]
    assert bench.names == [".terraform", "main.tf", "stepmark.auto.tfvars.json"]


def test_what_was_made_here_is_not_taken_for_registered(bench: Bench) -> None:
    """Its provider was changed in the fleet file."""
    bench.provider.lacking = {Need.PROVISIONING: "it already exists"}

    with pytest.raises(errors.ConfigurationError, match="put the provider that made it back in the fleet file"):
        tofu.destroy(Facts(tofu_digest="a"), bench.context)

    assert bench.commands.asked == []


@pytest.mark.parametrize("case", ["plan-nothing", "destroy"])
def test_a_host_that_no_state_knows_is_not_said_to_be_destroyed(bench: Bench, case: str) -> None:
    """Its state was refused at apply, all of it or the last of it, and lies on another worker."""
    bench.commands.script |= {"tofu destroy": replace(answer(case), exit_status=0), "tofu state pull": Answer()}
    bench.provider.found = Found("192.0.2.7", "42")

    with pytest.raises(errors.StateError, match=r"^the host 42 runs, but no state knows it: .*errored\.tfstate"):
        tofu.destroy(Facts(tofu_digest="a"), bench.context)


def test_a_provider_that_cannot_look_keeps_nothing_from_its_end(bench: Bench) -> None:
    bench.commands.script |= {"tofu destroy": answer("destroy"), "tofu state pull": Answer('{"serial": 4}')}
    bench.provider.found = errors.CannotFindError("lxd")

    result = tofu.destroy(Facts(tofu_digest="a"), bench.context)

    assert (result.ending, result.note) == (
        Ending.DONE,
        "0 added, 0 changed, 2 destroyed; provider lxd cannot look for an existing host",
    )


def test_clean_workspace(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    tofu.render(Facts(), bench.context)
    tofu.validate(Facts(), bench.context)
    (bench.context.workspace / "link").symlink_to(outside)

    results = [tofu.clean_workspace(Facts(), bench.context) for _ in range(2)]

    assert results == [Result(Facts()), Result(Facts(), Ending.UNCHANGED)]
    assert (bench.names, (outside / "kept").exists()) == ([], True)


def test_a_state_that_nobody_took_is_not_cleaned_away(bench: Bench) -> None:
    (bench.context.workspace / "errored.tfstate").write_text("{}")

    with pytest.raises(errors.StateError, match=r"^errored\.tfstate in the workspace has not been saved"):
        tofu.clean_workspace(Facts(), bench.context)

    assert bench.names == ["errored.tfstate"]
