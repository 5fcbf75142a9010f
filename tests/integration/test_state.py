"""Workspaces and OpenTofu states in Redis: encrypted, fenced, brought to any worker, and never dropped."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.integration.conftest import request, spec
from tests.integration.test_scripts import fail, message
from workers import crypto, workspaces
from workers.crypto import Box, SealError
from workers.launch import Launcher
from workers.orphans import OrphanStore
from workers.runtime import Base
from workers.stateserver import StateServer
from workers.tofustate import Owner, TofuState
from workers.tracker import Execution
from workers.workspaces import Workspaces

OURS = Owner("web-1", "run-1", 1)
AFTER = Owner("web-1", "run-1", 2)


@pytest.fixture
def box(base: Base) -> Box:
    return crypto.load(base.settings.encryption_key_file)


@pytest.fixture
def execution(base: Base, launcher: Launcher) -> Execution:
    return base.tracker.start(message(launcher.launch(request(spec()))), "w0@test")


class Disk(Workspaces):
    """A worker's disk."""

    def here(self) -> Path:
        """The directory of web-1, as a step that starts now finds it."""
        return self.fetch("web-1", self._client.hget(self._keys.workspace("web-1"), "digest") or "")[0]


@pytest.fixture
def disk(base: Base, box: Box, tmp_path: Path) -> Callable[[str], Disk]:
    """Workspaces as a worker with a data folder of its own has them."""
    return lambda worker: Disk(base.client, base.keys, box, tmp_path / worker)


def claim(base: Base, owner: Owner) -> None:
    """The owner's run holds the environment, in the owner's epoch."""
    base.client.hset(base.keys.environment(owner.environment), "run", owner.run)
    base.client.hset(base.keys.run(owner.run), "epoch", owner.epoch)


@pytest.fixture
def server(base: Base, box: Box) -> StateServer:
    claim(base, OURS)
    states = TofuState(base.client, base.keys, box)
    return StateServer(states, OrphanStore(states, base.retention_seconds))


def keep(store: Workspaces, execution: Execution, before: str = "") -> bool:
    return store.keep(execution, before)


def test_a_workspace_goes_from_one_worker_to_another(
    base: Base, disk: Callable[[str], Disk], execution: Execution
) -> None:
    first = disk("a").here()
    (first / "ansible").mkdir()
    (first / "ansible" / "vars.json").write_text('{"secret": "hunter2"}')
    (first / ".terraform").mkdir()
    (first / ".terraform" / "provider").write_text("large")
    assert keep(disk("a"), execution)

    second = disk("b").here()

    assert (second / "ansible" / "vars.json").read_text() == '{"secret": "hunter2"}'
    assert not (second / ".terraform").exists()
    assert second.stat().st_mode & 0o777 == 0o700
    assert (second / "ansible" / "vars.json").stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in str(base.client.hgetall(base.keys.workspace("web-1")))


def test_what_a_worker_has_is_replaced_by_what_is_kept(disk: Callable[[str], Disk], execution: Execution) -> None:
    path = disk("a").here()
    (path / "main.tf").write_text("kept")
    keep(disk("a"), execution)
    (path / "main.tf").write_text("half done by a step that was killed")
    (path / "left-over").write_text("of it")
    (path / "errored.tfstate").write_text("the only record of a real host")

    disk("a").here()

    found = {file.name: file.read_text() for file in path.iterdir()}
    assert found == {"main.tf": "kept", "errored.tfstate": "the only record of a real host"}


def test_a_state_that_was_not_saved_goes_to_whichever_worker_is_next(
    disk: Callable[[str], Disk], execution: Execution
) -> None:
    (disk("a").here() / "errored.tfstate").write_text("of a real host")

    assert keep(disk("a"), execution)

    assert (disk("b").here() / "errored.tfstate").read_text() == "of a real host"


@pytest.mark.parametrize("saved_as", ["pushed-3.tfstate", "orphan-0a1b2c3d.tfstate"])
def test_a_state_that_another_worker_has_saved_is_not_saved_again(
    disk: Callable[[str], Disk], execution: Execution, saved_as: str
) -> None:
    first = disk("a").here()
    (first / "errored.tfstate").write_text("of a real host")
    keep(disk("a"), execution)
    second = disk("b").here()
    before = workspaces.digest_of(second)
    (second / "errored.tfstate").rename(second / saved_as)
    keep(disk("b"), execution, before)

    found = {file.name: file.read_text() for file in disk("a").here().iterdir()}

    assert found == {saved_as: "of a real host"}


def test_states_that_two_workers_could_not_save_are_both_kept(
    disk: Callable[[str], Disk], execution: Execution
) -> None:
    """Redis was away for one of them, so that nobody knew of it when the other one made its own."""
    (disk("a").here() / "errored.tfstate").write_text("lies on the disk of a only")
    (disk("b").here() / "errored.tfstate").write_text("of b")
    keep(disk("b"), execution)

    for _ in range(2):
        found = {file.name: file.read_text() for file in disk("a").here().iterdir()}
        assert found == {"errored.tfstate": "of b", "errored-ae40446d.tfstate": "lies on the disk of a only"}


def test_only_the_execution_that_runs_may_keep(base: Base, disk: Callable[[str], Disk], execution: Execution) -> None:
    path = disk("a").here()
    (path / "main.tf").write_text("late")
    fail(base, execution.identity.run)

    assert keep(disk("a"), execution) is False
    assert not base.client.exists(base.keys.workspace("web-1"))


def test_an_emptied_workspace_is_forgotten(base: Base, disk: Callable[[str], Disk], execution: Execution) -> None:
    path = disk("a").here()
    (path / "main.tf").write_text("x")
    keep(disk("a"), execution)
    (path / "main.tf").unlink()

    assert keep(disk("a"), execution, workspaces.digest({"main.tf": b"x"}))
    assert not base.client.exists(base.keys.workspace("web-1"))


def test_another_key_opens_nothing(
    disk: Callable[[str], Disk], base: Base, execution: Execution, tmp_path: Path
) -> None:
    (disk("a").here() / "main.tf").write_text("x")
    keep(disk("a"), execution)
    crypto.create(tmp_path / "another.key")
    stranger = Disk(base.client, base.keys, crypto.load(tmp_path / "another.key"), tmp_path / "stranger")

    with pytest.raises(SealError, match="the workspace of web-1"):
        stranger.here()


def call(method: str, env: Mapping[str, str], body: bytes = b"", query: str = "") -> tuple[int, bytes]:
    """Ask the backend as OpenTofu does: the status and the body of the answer."""
    name = f"{env['TF_HTTP_USERNAME']}:{env['TF_HTTP_PASSWORD']}"
    headers = {"Authorization": "Basic " + base64.b64encode(name.encode()).decode()}
    address = env["TF_HTTP_ADDRESS"] + query
    asked = urllib.request.Request(address, data=body or None, method=method, headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def lock(lock_id: str) -> bytes:
    return json.dumps({"ID": lock_id, "Operation": "apply", "Who": "worker@test"}).encode()


def test_a_state_is_written_under_its_lock_and_encrypted(base: Base, server: StateServer) -> None:
    with server.session(OURS) as env:
        assert call("GET", env) == (204, b"")
        assert call("LOCK", env, lock("l1"))[0] == 200
        assert call("POST", env, b'{"serial": 1}', "?ID=l1")[0] == 200
        assert call("GET", env) == (200, b'{"serial": 1}')
        assert call("UNLOCK", env, lock("l1"))[0] == 200
    kept = base.client.hgetall(base.keys.tofu_state("web-1"))
    assert set(kept) == {"state"}
    assert "serial" not in kept["state"]


def test_a_held_lock_refuses_and_names_its_holder(server: StateServer) -> None:
    with server.session(OURS) as env:
        call("LOCK", env, lock("l1"))
        status, body = call("LOCK", env, lock("l2"))

    assert (status, json.loads(body)["ID"], json.loads(body)["Who"]) == (423, "l1", "worker@test run-1.1")


def test_a_state_without_the_lock_is_kept_as_an_orphan_once(base: Base, server: StateServer) -> None:
    with server.session(OURS) as env:
        call("LOCK", env, lock("l1"))
        call("POST", env, b'{"serial": 1}', "?ID=l1")
        claim(base, AFTER)
        with server.session(AFTER) as later:
            assert call("LOCK", later, lock("l2"))[0] == 200
        assert call("POST", env, b'{"serial": 2}', "?ID=l1")[0] == 409
        assert call("GET", env)[1] == b'{"serial": 1}'
        assert call("POST", env, b'{"serial": 2}', "?ID=l1")[0] == 409
    orphans = OrphanStore(server.state, 60).waiting("web-1")
    assert [(each.content, each.owner) for each in orphans] == [(b'{"serial": 2}', "run-1.1")]
    assert "serial" not in str(base.client.hgetall(base.keys.tofu_orphans("web-1")))


def test_a_password_is_good_for_its_command_only(server: StateServer) -> None:
    with server.session(OURS) as env:
        pass
    assert call("GET", env)[0] == 401
    with server.session(Owner("web-2", "run-2", 1)) as other:
        assert call("GET", {**other, "TF_HTTP_PASSWORD": "guessed"})[0] == 401


def test_who_wakes_up_late_takes_no_lock(base: Base, server: StateServer) -> None:
    """The request lay in a worker that was stopped; its tool has been ended since, and another one writes."""
    with server.session(OURS) as env, server.session(AFTER) as later:
        claim(base, AFTER)
        call("LOCK", later, lock("l2"))
        status, body = call("LOCK", env, lock("l1"))
        assert (status, json.loads(body)["Who"]) == (423, "run run-1 holds the environment, not run-1.1")
        assert call("POST", later, b'{"serial": 2}', "?ID=l2")[0] == 200


def test_a_state_that_was_cut_off_is_not_taken(base: Base, server: StateServer) -> None:
    """The tool was killed while it wrote: half a state in place of the whole one would lose every host in it."""
    with server.session(OURS) as env:
        call("LOCK", env, lock("l1"))
        call("POST", env, b'{"serial": 1}', "?ID=l1")
        place = urllib.parse.urlsplit(env["TF_HTTP_ADDRESS"])
        name = base64.b64encode(f"{env['TF_HTTP_USERNAME']}:{env['TF_HTTP_PASSWORD']}".encode()).decode()
        head = f"POST {place.path}?ID=l1 HTTP/1.0\r\nAuthorization: Basic {name}\r\nContent-Length: 13\r\n\r\n"
        with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
            connection.sendall(head.encode() + b'{"serial"')
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").readline().split()[1] == b"400"
        assert call("POST", env, b'{"serial"', "?ID=l1")[0] == 400
        assert call("GET", env)[1] == b'{"serial": 1}'


def test_a_store_that_refuses_is_told_to_tofu(base: Base, server: StateServer) -> None:
    base.client.set(base.keys.tofu_state("web-1"), "not a hash")
    with server.session(OURS) as env:
        status, body = call("GET", env)

    assert status == 507
    assert b"WRONGTYPE" in body
