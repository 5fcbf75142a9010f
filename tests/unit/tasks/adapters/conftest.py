"""Fixtures of the adapters' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters import ssh
from tests.unit.tasks.adapters.sshserver import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """An SSH server that lets root in with its own `client_key`, and can do `true`."""
    with Server().listening() as found:
        yield found


@pytest.fixture
def target(server: Server, tmp_path: Path) -> ssh.Target:
    """How to log in there; the host's key is not known yet."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(server.client_key.export_private_key())
    return ssh.Target("127.0.0.1", server.port, "root", key, tmp_path / "known hosts")
