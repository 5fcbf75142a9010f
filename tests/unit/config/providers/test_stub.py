"""The templates against plugins with the real ones' schema: checked, planned and applied."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.fleet import EnvironmentSpec
from config.providers import registry
from tasks.providers import registry as providers
from tests.unit.config.providers.stub import STUBS

ROOT = Path(__file__).parents[4]
terraform = shutil.which("tofu") or shutil.which("terraform")
pytestmark = pytest.mark.skipif(terraform is None, reason="needs tofu or terraform on PATH")
PLUGIN = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.unit.config.providers import stub
stub.serve({name!r})
"""
LOCAL = 'terraform {\n  backend "local" {}\n}\n'
USER_DATA = "#cloud-config\nruncmd: ['echo ${HOME} %{ x }']\n"
SETTINGS: dict[str, dict[str, Any]] = {
    "hetzner": {"token": "env:TOKEN", "firewall_ids": (7,)},
    "lxd": {"cpus": 2, "memory_mib": 512, "disk_gib": 20, "type": "virtual-machine"},
}


class Folder:
    """A root module beside a mirror that holds the stub."""

    def __init__(self, path: Path, name: str, settings: dict[str, Any]) -> None:
        self.path = path / "module"
        shutil.copytree(registry.templates(name), self.path)
        (self.path / "backend_override.tf").write_text(LOCAL)
        (path / "cli.tfrc").write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{path}/mirror"\n  }}\n}}\n'
        )
        _mirror(path / "mirror", name)
        environment = EnvironmentSpec.model_validate(
            {"name": "web-1", "provider": {"name": name, **settings}, "ssh": {"key": "env:KEY", "port": 2222}}
        )
        provider = providers.get(environment)
        variables = {**provider.variables(environment), "name": "web-1", "user_data": USER_DATA}
        (self.path / "stepmark.auto.tfvars.json").write_text(json.dumps(variables))
        secrets = {f"TF_VAR_{variable}": "sesame" for variable in provider.secrets(environment)}
        quiet = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        self._env = {**os.environ, **quiet, **secrets, "TF_CLI_CONFIG_FILE": str(path / "cli.tfrc"), "HOME": str(path)}

    def run(self, *arguments: str) -> str:
        command = [str(terraform), *arguments]
        done = subprocess.run(
            command, cwd=self.path, env=self._env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _mirror(path: Path, name: str) -> None:
    source, version, *_ = STUBS[name]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    folder = path / _full_name(path, source) / version / f"linux_{machine}"
    folder.mkdir(parents=True)
    plugin = folder / f"terraform-provider-{source.rpartition('/')[2]}_v{version}"
    plugin.write_text(PLUGIN.format(python=sys.executable, root=str(ROOT), name=name))
    plugin.chmod(0o755)


def _full_name(path: Path, source: str) -> str:
    """The source with the registry in which this binary looks for it."""
    asking = path.parent / "asking"
    asking.mkdir()
    (asking / "main.tf").write_text(
        f'terraform {{\n  required_providers {{\n    it = {{ source = "{source}" }}\n  }}\n}}\n'
    )
    command = [str(terraform), "providers"]
    quiet = os.environ | {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    said = subprocess.run(command, cwd=asking, env=quiet, capture_output=True, text=True, check=True).stdout
    found = re.search(r"provider\[([^]]+)\]", said)
    assert found, said
    return found[1]


@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("hetzner", {"image": "debian-12", "ip_address": "203.0.113.7", "status": "running"}),
        ("lxd", {"image": "ubuntu:24.04", "ip_address": "10.0.0.7", "status": "Running"}),
    ],
)
def test_apply(tmp_path: Path, name: str, info: dict[str, Any]) -> None:
    folder = Folder(tmp_path, name, SETTINGS[name])

    folder.run("init", "-backend=true")
    assert json.loads(folder.run("validate", "-json"))["diagnostics"] == []
    folder.run("apply", "-auto-approve")

    (output,) = json.loads(folder.run("output", "-json")).values()
    assert output["value"] == {"name": "web-1", "ssh_port": 2222, **info}
    ((made,),) = (
        [item["attributes"] for item in found["instances"]]
        for found in json.loads(folder.run("state", "pull"))["resources"]
    )
    assert EXPECTED[name].items() <= made.items()


EXPECTED: dict[str, dict[str, Any]] = {
    "hetzner": {
        "labels": {"stepmark": "web-1"},
        "firewall_ids": [7],
        "public_net": [{"ipv4_enabled": True, "ipv6_enabled": True, "ipv4": None, "ipv6": None}],
        "user_data": '#cloud-config\n"chpasswd":\n  "expire": false\n"runcmd":\n- "echo ${HOME} %{ x }"\n',
    },
    "lxd": {
        "limits": {"cpu": "2", "memory": "512MiB"},
        "profiles": ["default"],
        "device": [{"name": "root", "type": "disk", "properties": {"path": "/", "pool": "default", "size": "20GiB"}}],
        "config": {
            "boot.autostart": "true",
            "cloud-init.user-data": USER_DATA,
            "user.stepmark": "web-1",
            "user.access_interface": "enp5s0",
        },
    },
}


def test_new_user_data_is_no_new_host(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "lxd", {})
    folder.run("init")
    folder.run("apply", "-auto-approve")

    folder.run("plan", "-detailed-exitcode", "-var", "user_data=#cloud-config")
