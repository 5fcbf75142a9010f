"""The key is changed while workers work: nothing is lost, nothing that they write is written over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from config import settings as settings_module
from tasks.failure import RunStatus
from tests.integration.cli.conftest import Stepmark, stepmark
from tests.integration.conftest import StartWorker, ended, request, spec
from workers import crypto
from workers.crypto import Box
from workers.launch import Launcher
from workers.orphans import OrphanStore
from workers.rekey import Rekeyed, Rekeyer
from workers.runtime import Base
from workers.tofustate import Owner, TofuState

__all__ = ["stepmark"]

OWNER = Owner("web-1", "run-1", 1)
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def key_file(tmp_path: Path) -> Callable[..., str]:
    """A key file with these keys, the first first."""

    def write(*keys: str) -> str:
        path = tmp_path / f"{'-'.join(key[:4] for key in keys)}.key"
        path.write_text("\n".join(keys) + "\n")
        return str(path)

    return write


def kept(base: Base, box: Box, environment: str = "web-1") -> TofuState:
    """A state and an orphan under the box's first key."""
    states = TofuState(base.client, base.keys, box)
    base.client.hset(base.keys.tofu_state(environment), "state", box.seal(b'{"serial": 1}'))
    states.save(OWNER._replace(environment=environment), "", b'{"serial": 2}')
    return states


def quiet(_done: int, _total: int) -> None:
    """Nobody looks."""


def test_workers_go_on_through_a_change_of_keys(
    base: Base,
    launcher: Launcher,
    start_worker: StartWorker,
    key_file: Callable[..., str],
    stepmark: Stepmark,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers that write with the old key and with the new one work on thirty hosts; then the old key is gone."""
    names = [f"web-{number}" for number in range(30)]
    before = start_worker("--concurrency", "1", STEPMARK_ENCRYPTION_KEY_FILE=key_file(OLD, NEW))
    start_worker("--concurrency", "1", STEPMARK_ENCRYPTION_KEY_FILE=key_file(NEW, OLD))
    launched = [launcher.launch(request(spec(name))) for name in names]
    ended(base, launched[0].run)
    kept(base, crypto.load(Path(key_file(OLD))))
    monkeypatch.setenv("STEPMARK_ENCRYPTION_KEY_FILE", key_file(NEW, OLD))
    settings_module.load.cache_clear()
    first = stepmark("state", "rekey", "--json")
    assert (first.status, first.json["lost"]) == (0, [])
    assert first.json["resealed"] >= 2
    assert all(ended(base, place.run, seconds=120).status is RunStatus.SUCCEEDED for place in launched)
    before.terminate()
    before.wait(60)
    second = stepmark("state", "rekey", "--json").json
    third = stepmark("state", "rekey")

    assert second["found"] == 30 + 2
    assert third.out.splitlines() == [
        "32 kept, 0 of them encrypted anew",
        "Older keys may be removed, once every worker was restarted with a file that begins with this key.",
    ]
    start_worker(STEPMARK_ENCRYPTION_KEY_FILE=key_file(NEW))
    only = crypto.load(Path(key_file(NEW)))
    again = [launcher.launch(request(spec(name), "configure")) for name in names]
    assert all(ended(base, place.run, seconds=120).status is RunStatus.SUCCEEDED for place in again)
    states = TofuState(base.client, base.keys, only)
    assert states.load("web-1") == b'{"serial": 1}'
    assert [orphan.content for orphan in OrphanStore(states, 60).waiting("web-1")] == [b'{"serial": 2}']


def test_it_goes_on_where_it_was_interrupted(base: Base) -> None:
    for name in ("web-1", "web-2", "web-3"):
        kept(base, Box((OLD,)), name)
    rekeyer = Rekeyer(base.client, base.keys, Box((NEW, OLD)))

    def interrupted(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rekeyer.perform(interrupted)

    assert rekeyer.perform(quiet) == Rekeyed(6, 4, ())
    assert rekeyer.perform(quiet) == Rekeyed(6, 0, ())


def test_what_a_worker_writes_meanwhile_stays(base: Base) -> None:
    """It writes between our look and our write, with the old key even: that one is encrypted anew."""
    kept(base, Box((OLD,)))

    class Late(Box):
        """A box that is slow enough for a worker to write meanwhile."""

        done = False

        def renewed(self, sealed: str, what: str) -> str | None:
            found = super().renewed(sealed, what)
            if not self.done:
                self.done = True
                base.client.hset(base.keys.tofu_state("web-1"), "state", Box((OLD,)).seal(b'{"serial": 9}'))
            return found

    Rekeyer(base.client, base.keys, Late((NEW, OLD))).perform(quiet)

    assert TofuState(base.client, base.keys, Box((NEW,))).load("web-1") == b'{"serial": 9}'
    assert json.loads(base.client.hvals(base.keys.tofu_orphans("web-1"))[0])["owner"] == OWNER.name


def test_what_no_key_opens_is_named_and_left(base: Base) -> None:
    kept(base, Box((Fernet.generate_key().decode(),)))
    kept(base, Box((OLD,)), "web-2")
    lost = base.client.hget(base.keys.tofu_state("web-1"), "state")

    found = Rekeyer(base.client, base.keys, Box((NEW, OLD))).perform(quiet)

    assert (found.found, found.resealed) == (4, 2)
    assert [place.split()[0] for place in found.lost] == ["stepmark:tofu:web-1", "stepmark:tofu:web-1:orphans"]
    assert base.client.hget(base.keys.tofu_state("web-1"), "state") == lost
