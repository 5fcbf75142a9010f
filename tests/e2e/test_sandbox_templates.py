"""The sandbox provider's templates, applied and destroyed by the real tool with its state in a local file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.providers import registry
from tasks.adapters import tofu_report
from tasks.providers import sandbox as provider
from tasks.sandbox import api, ladder
from tests.e2e.sandboxes import Login, Sandbox

TOFU = shutil.which("tofu") or shutil.which("terraform")
pytestmark = [
    pytest.mark.skipif(TOFU is None, reason="neither tofu nor terraform is on PATH"),
    pytest.mark.skipif(ladder.look().kind is None, reason="this machine can make neither light nor rootless hosts"),
]


@dataclass(frozen=True)
class Workspace:
    """A folder with the templates, and the sandbox that they make hosts in."""

    folder: Path
    sandbox: Sandbox

    def write(self, **settings: object) -> None:
        """The variables of the host `web-1`."""
        declared = {"name": "sandbox", "directory": str(self.sandbox.directory), "cloud_init": False, **settings}
        environment = EnvironmentSpec.model_validate({"name": "web-1", "provider": declared, "ssh": {"key": "env:KEY"}})
        given = {"name": "web-1", "user_data": self.sandbox.login.user_data()}
        variables = {**provider.PROVIDER.variables(environment), **given}
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(variables))

    def tofu(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it; the caller judges."""
        env = {**os.environ, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        config = {"TF_CLI_CONFIG_FILE": str(self.folder / "rc")}
        argv = [str(TOFU), *words]
        return subprocess.run(argv, cwd=self.folder, env=env | config, capture_output=True, text=True, check=False)

    def must(self, *words: str) -> str:
        """Run it, and give its output; it must succeed."""
        done = self.tofu(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder, keys = tmp_path / "workspace", tmp_path / "keys"
    shutil.copytree(registry.templates("sandbox"), folder)
    (folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    (folder / "rc").touch()
    keys.mkdir()
    made = Workspace(folder, Sandbox(tmp_path / "sandbox", Login.made(keys)))
    made.must("init")
    yield made
    api.destroy(made.sandbox.directory, "web-1", made.sandbox.said.append)
    assert made.sandbox.left_over() == []


def test_a_failed_boot_is_mended_by_the_next_apply_and_destroy_leaves_nothing(workspace: Workspace) -> None:
    login, directory = workspace.sandbox.login, workspace.sandbox.directory
    workspace.write(fail_boot=True)
    failed = workspace.tofu("apply", "-auto-approve", "-no-color")
    assert failed.returncode == 1
    assert "fail_boot is set" in " ".join(failed.stderr.split())

    workspace.write()
    workspace.must("apply", "-auto-approve")
    [host] = api.instances(directory)
    assert json.loads(workspace.must("output", "-json"))["instance_info"]["value"] == host.model_dump()
    login.wait(host)
    assert login.say(host, "hostname") == "web-1"
    assert workspace.tofu("plan", "-detailed-exitcode").returncode == 0

    workspace.must("destroy", "-auto-approve")
    assert api.instances(directory) == []
    assert "Connection refused" in login.ssh(host, "true").stderr


def test_a_host_that_is_there_is_opened_when_it_may_be_reached(workspace: Workspace) -> None:
    workspace.write(listen=False, packages=False)
    workspace.must("apply", "-auto-approve")
    [host] = api.instances(workspace.sandbox.directory)
    assert "Connection refused" in workspace.sandbox.login.ssh(host, "true").stderr

    workspace.write()
    assert ended(workspace) == ["terraform_data.boot"]
    workspace.must("apply", "-auto-approve")

    assert api.instances(workspace.sandbox.directory) == [host]
    workspace.sandbox.login.wait(host)
    assert ended(workspace) == []


def test_another_host_is_needed_for_another_inside(workspace: Workspace) -> None:
    workspace.write()
    workspace.must("apply", "-auto-approve")

    workspace.write(cloud_init=True)

    assert ended(workspace) == ["terraform_data.boot", "terraform_data.host"]


def ended(workspace: Workspace) -> list[str]:
    """The resources that a plan would replace."""
    done = workspace.tofu("plan", "-json")
    assert done.returncode == 0, done.stdout
    return list(tofu_report.parse(done.stdout, "").destroys)


def test_new_user_data_is_no_change_of_the_host(workspace: Workspace) -> None:
    workspace.write()
    workspace.must("apply", "-auto-approve")
    variables = json.loads((workspace.folder / "terraform.tfvars.json").read_text())
    changed = {**variables, "user_data": "#cloud-config\n{}\n"}
    (workspace.folder / "terraform.tfvars.json").write_text(json.dumps(changed))

    assert workspace.tofu("plan", "-detailed-exitcode").returncode == 0


def test_user_data_stays_out_of_the_output_and_of_the_state(workspace: Workspace) -> None:
    workspace.write()
    shown = workspace.must("apply", "-auto-approve")
    secret = (workspace.sandbox.login.folder / "host").read_text().splitlines()[2]

    assert secret not in shown
    assert secret not in (workspace.folder / "terraform.tfstate").read_text()


def test_the_templates_are_formatted() -> None:
    subprocess.run([str(TOFU), "fmt", "-check", "-diff", registry.templates("sandbox")], check=True)
