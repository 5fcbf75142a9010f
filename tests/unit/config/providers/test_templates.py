"""The templates that have a provider's plugin to wait for: checked as far as it goes without."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.providers import registry
from tasks.providers import registry as providers

SETTINGS = {"hetzner": {"token": "env:TOKEN"}, "lxd": {}}
INSTANCE_INFO = ["name", "image", "status", "ip_address", "ssh_port"]
terraform = shutil.which("tofu") or shutil.which("terraform")
needs_terraform = pytest.mark.skipif(terraform is None, reason="needs tofu or terraform on PATH")
with_templates = pytest.mark.parametrize("name", sorted(SETTINGS))


def text(name: str) -> str:
    return "\n".join(path.read_text() for path in sorted(registry.templates(name).glob("*.tf")))


def run(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    return subprocess.run(
        [str(terraform), *arguments],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_terraform
@with_templates
def test_format(name: str) -> None:
    done = run("fmt", "-check", "-diff", cwd=registry.templates(name))

    assert (done.returncode, done.stdout) == (0, "")


@with_templates
def test_backend_is_left_to_variables(name: str) -> None:
    """A plan saved on one worker is applied on another, through another address."""
    assert 'backend "http" {}' in text(name)


@with_templates
def test_variables(name: str) -> None:
    """Each that the templates declare is given, each that is given is declared, and no secret one is written down."""
    environment = EnvironmentSpec.model_validate(
        {"name": "web-1", "provider": {"name": name, **SETTINGS[name]}, "ssh": {"key": "env:KEY"}}
    )
    provider = providers.get(environment)
    declared = set(re.findall(r'^variable "(\w+)"', text(name), re.MULTILINE))
    used = set(re.findall(r"\bvar\.(\w+)", text(name)))
    written, secret = provider.variables(environment).keys(), provider.secrets(environment).keys()

    assert declared == used == {"name", "user_data", *written, *secret}
    assert written.isdisjoint(secret)
    for variable in ("user_data", *secret):
        assert re.search(rf'variable "{variable}" {{[^}}]*sensitive += true', text(name))


@with_templates
def test_instance_info(name: str) -> None:
    block = re.search(r'output "instance_info" {.*?value = {\n(.*?)\n  }', text(name), re.DOTALL)

    assert block
    assert re.findall(r"^ +(\w+) +=", block[1], re.MULTILINE) == INSTANCE_INFO


@needs_terraform
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", '"chpasswd":\n  "expire": false\n'),
        (
            '#cloud-config\nusers:\n- {name: "ro\\"ot: ${x} %{ if }"}\nlocale: false\n',
            '"chpasswd":\n  "expire": false\n"locale": false\n"users":\n- "name": "ro\\"ot: ${x} %{ if }"\n',
        ),
    ],
)
def test_hetzner_user_data(tmp_path: Path, given: str, expected: str) -> None:
    """Ours comes through whole, with what keeps root's password from having expired."""
    local = re.search(r"locals {\n.*?\n}\n", text("hetzner"), re.DOTALL)
    assert local
    (tmp_path / "main.tf").write_text(local[0] + 'variable "user_data" {\n  sensitive = true\n}\n')
    (tmp_path / "a.auto.tfvars.json").write_text(json.dumps({"user_data": given}))

    done = run("console", cwd=tmp_path, stdin="nonsensitive(yamlencode(local.user_data))\n")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.removeprefix("<<EOT\n").removesuffix("\nEOT\n") == expected
