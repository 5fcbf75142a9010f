"""`state`: late states are shown and settled, a dead holder's lock is freed, and nothing is thrown away."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tasks.errors import OrphanedStateError
from tests.integration.cli.conftest import Stepmark
from tests.integration.conftest import request, spec
from tests.integration.test_scripts import fail, message
from tests.support import poll
from workers import crypto
from workers.cli.reports import Exit
from workers.launch import Launcher
from workers.orphans import OrphanStore, OwnOrphans
from workers.runtime import Base
from workers.tofustate import Owner, TofuState
from workers.tracker import Execution, Place

WHY = ("--reason", "seen by hand")
LIVES = "the state of web-1 is held by run"


def state(serial: int, **resources: str) -> bytes:
    """A state that knows these hosts, by name: their ids."""
    known = [
        {"mode": "managed", "type": "hcloud_server", "name": name, "instances": [{"attributes": {"id": identity}}]}
        for name, identity in resources.items()
    ]
    return json.dumps({"version": 4, "lineage": "l", "serial": serial, "resources": known}).encode()


@pytest.fixture
def place(launcher: Launcher) -> Place:
    """A run that holds web-1; no worker has taken it."""
    return launcher.launch(request(spec()))


@pytest.fixture
def states(base: Base) -> TofuState:
    return TofuState(base.client, base.keys, crypto.load(base.settings.encryption_key_file))


@pytest.fixture
def owner(place: Place) -> Owner:
    return Owner("web-1", place.run, 1)


@pytest.fixture
def write(states: TofuState, owner: Owner) -> Callable[..., None]:
    """Have a command write a state under its lock; late: without it."""

    def put(content: bytes, *, late: bool = False) -> None:
        if not late:
            assert states.lock(owner, {"ID": "l1"}) is None
        assert states.save(owner, "" if late else "l1", content) is not late
        if not late:
            assert states.unlock("web-1", "l1") is None

    return put


@pytest.fixture
def own(base: Base, states: TofuState, owner: Owner) -> OwnOrphans:
    """The orphans as a step of the run sees them."""
    return OwnOrphans(OrphanStore(states, base.retention_seconds), states, owner)


def test_where_no_state_came_late_nothing_is_settled(stepmark: Stepmark, write: Callable[..., None]) -> None:
    write(state(3, host="42"))

    said = stepmark("state", "reconcile", "web-1", "--keep", "current", *WHY, "--json")

    assert said.status == Exit.REFUSED
    assert said.json["error"]["message"] == "no state of web-1 came late"
    assert stepmark("state", "show", "web-1", "--json").json["audit"] == []


def test_both_states_are_shown_and_one_is_kept(
    stepmark: Stepmark, write: Callable[..., None], own: OwnOrphans, owner: Owner
) -> None:
    write(state(3, host="42"))
    write(state(2, host="41"), late=True)
    with pytest.raises(OrphanedStateError, match="`stepmark state reconcile web-1`"):
        own.check()

    shown = stepmark("state", "reconcile", "web-1")
    told = stepmark("state", "show", "web-1", "--json").json
    late = told["orphans"][0]
    kept = stepmark("state", "reconcile", "web-1", "--keep", "current", *WHY, "--json").json

    assert "only here: hcloud_server.host 41" in shown.out
    assert "not here: hcloud_server.host 42" in shown.out
    assert f"--keep current|{late['id']} --reason TEXT" in shown.out
    assert (late["owner"], late["serial"], late["resources"]) == (owner.name, 2, {"hcloud_server.host": "41"})
    assert told["state"] == kept["state"] == {"lineage": "l", "serial": 3, "resources": {"hcloud_server.host": "42"}}
    assert (kept["orphans"], kept["settled"]) == ([], [late])
    assert [(each["kept"], each["orphans"], each["reason"]) for each in kept["audit"]] == [
        ("current", late["id"], "seen by hand")
    ]
    own.check()


def test_a_late_state_takes_the_place_of_the_other_one(
    stepmark: Stepmark, write: Callable[..., None], own: OwnOrphans
) -> None:
    """Under a serial number that no plan was made for; what it replaced can still be had."""
    write(state(3, host="42"))
    write(state(3, host="41"), late=True)
    late = stepmark("state", "show", "web-1", "--json").json["orphans"][0]["id"]

    kept = stepmark("state", "reconcile", "web-1", "--keep", late, *WHY, "--json").json

    assert (kept["state"]["serial"], kept["state"]["resources"]) == (4, {"hcloud_server.host": "41"})
    replaced = next(each["id"] for each in kept["settled"] if each["id"] != late)
    assert json.loads(stepmark("state", "pull", "web-1", "--orphan", replaced).out) == json.loads(state(3, host="42"))
    assert json.loads(stepmark("state", "pull", "web-1").out)["serial"] == 4
    own.keep(state(3, host="41"))  # the worker that wrote it has it in a file too
    own.check()


def test_a_late_state_of_which_all_is_known_settles_itself(
    stepmark: Stepmark, write: Callable[..., None], own: OwnOrphans
) -> None:
    write(state(3, host="42", volume="7"))
    write(state(1, host="42"), late=True)

    own.check()

    told = stepmark("state", "show", "web-1", "--json").json
    assert (told["orphans"], len(told["settled"]), told["audit"][0]["kept"]) == ([], 1, "current")


def test_no_state_is_replaced_under_a_command_that_writes(
    stepmark: Stepmark, write: Callable[..., None], states: TofuState, owner: Owner
) -> None:
    write(state(3, host="42"))
    write(state(2, host="41"), late=True)
    late = stepmark("state", "show", "web-1", "--json").json["orphans"][0]["id"]
    states.lock(owner, {"ID": "l2", "Who": "worker@test"})

    refused = stepmark("state", "reconcile", "web-1", "--keep", late, *WHY, "--json")

    assert (refused.status, refused.json["error"]["kind"]) == (Exit.REFUSED, "refused")
    assert "locked by worker@test" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--keep", "current"), "--reason"), (("--keep", "nothing", *WHY), "there is no orphan 'nothing'")],
)
def test_a_choice_that_cannot_be_made(
    stepmark: Stepmark, write: Callable[..., None], words: tuple[str, ...], message: str
) -> None:
    write(state(2, host="41"), late=True)

    said = stepmark("state", "reconcile", "web-1", *words)

    assert said.status == Exit.USAGE
    assert message in said.err
    assert len(stepmark("state", "show", "web-1", "--json").json["orphans"]) == 1


@pytest.fixture
def execution(base: Base, place: Place) -> Execution:
    return base.tracker.start(message(place), "w0@test")


def test_the_lock_of_the_living_is_not_freed(
    stepmark: Stepmark, states: TofuState, owner: Owner, execution: Execution
) -> None:
    states.lock(owner, {"ID": "l1", "Operation": "OperationTypeApply", "Created": "2026", "Who": "root@a"})

    refused = stepmark("state", "force-unlock", "web-1", *WHY)

    assert refused.status == Exit.REFUSED
    assert f"{LIVES} {owner.run} of tester@here, provision 1/9" in refused.err
    assert "on worker w0@test" in refused.err


def test_the_lock_of_the_dead_is_freed_after_the_takeover_time(
    stepmark: Stepmark, states: TofuState, owner: Owner, execution: Execution, base: Base
) -> None:
    states.lock(owner, {"ID": "l1", "Operation": "OperationTypeApply", "Created": "2026", "Who": "root@a"})
    poll(lambda: base.store.run(owner.run).display.value == "lost")
    assert stepmark("state", "force-unlock", "web-1", *WHY).status == Exit.REFUSED

    freed = poll(lambda: (said := stepmark("state", "force-unlock", "web-1", *WHY)).status == Exit.OK and said)

    assert freed.out.splitlines() == ["freed: root@a: OperationTypeApply since 2026"]
    told = stepmark("state", "show", "web-1", "--json").json
    assert (told["lock"], told["audit"][0]["what"], told["audit"][0]["owner"]) == (None, "unlocked", owner.name)
    assert stepmark("state", "force-unlock", "web-1", *WHY).out == "nobody holds the lock\n"


def test_the_lock_of_a_run_that_ended_long_ago_is_freed(
    stepmark: Stepmark, states: TofuState, owner: Owner, execution: Execution, base: Base
) -> None:
    """Nobody else has needed the lock since; a tool that was killed has left it."""
    states.lock(owner, {"ID": "l1"})
    fail(base, owner.run)
    assert stepmark("state", "force-unlock", "web-1", *WHY).status == Exit.REFUSED
    base.client.hset(base.keys.run(owner.run), "ended_at", base.now() - base.settings.takeover_seconds)

    assert stepmark("state", "force-unlock", "web-1", *WHY).status == Exit.OK
