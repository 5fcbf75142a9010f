"""A full host for real: made, ended, booted again, removed. Needs a docker engine; `.ci/docker.sh start` gives one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import errors
from tasks.sandbox import api, image
from tasks.sandbox.model import HostKind, Instance, Spec
from tests.support import poll


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    try:
        image.engine_version()
        missing = None if shutil.which("mmdebstrap") else "full hosts need mmdebstrap"
    except errors.StepmarkError as error:
        missing = str(error)
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{missing}: `.ci/docker.sh start`, as root, helps")


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[Spec]:
    """A host whose root may log in with the key `tmp_path/key`."""
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")), check=True)
    key = (tmp_path / "key.pub").read_text().strip()
    user_data = f"#cloud-config\ndisable_root: false\nusers:\n- name: root\n  ssh_authorized_keys: ['{key}']\n"
    yield Spec(name="full-1", kind=HostKind.FULL, directory=tmp_path / "sandbox", user_data=user_data)
    api.destroy(tmp_path / "sandbox", "full-1", print)


def test_full_host_boots_keeps_its_disk_and_goes(spec: Spec, tmp_path: Path) -> None:
    made = api.create(spec, print)
    first = poll(lambda: _ssh(tmp_path, made, "cloud-init status --wait && touch /root/kept"))
    _ssh(tmp_path, made, "systemctl exit 0")
    poll(lambda: api.status(spec.directory, "full-1") == made.model_copy(update={"status": "stopped"}))
    again = [api.create(spec, print) for _ in range(2)]
    kept = poll(lambda: _ssh(tmp_path, made, "ls /root && systemctl is-system-running --wait"))

    assert first.endswith("status: done\n")
    assert again == [made, made]
    assert kept == "kept\nrunning\n"
    assert [api.destroy(spec.directory, "full-1", print) for _ in range(2)] == [True, False]
    assert api.instances(spec.directory) == []


def _ssh(folder: Path, host: Instance, command: str) -> str:
    """What the command says on the host; empty if it cannot be asked."""
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5")
    words = [word for option in options for word in ("-o", option)]
    login = ("ssh", *words, "-i", str(folder / "key"), "-p", str(host.ssh_port), f"root@{host.ip_address}", command)
    done = subprocess.run(login, capture_output=True, text=True, check=False, timeout=90)
    return done.stdout
