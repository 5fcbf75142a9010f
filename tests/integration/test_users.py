"""Users of Redis with exactly the permissions that the page names: workers, operators and Flower, whoever looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.settings import Settings
from tests.faults import server
from tests.faults.server import Server
from tests.integration import installation
from tests.integration.installation import Flower, Installation
from tests.support import REPOSITORY, poll
from workers import permissions
from workers.permissions import Role

PAGE = REPOSITORY / "docs" / "how-to" / "secure-redis.md"
# As the page has them, with another password.
USERS = {
    name: words.split()
    for name, words in re.findall(r"^ACL SETUSER (stepmark-\w+) (.*)$", PAGE.read_text(), re.MULTILINE)
}


@pytest.fixture(params=server.programs(), ids=lambda path: path.name)
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A Redis that has these users and no other, as each program that is here can be one."""
    with server.running(tmp_path / "redis", request.param) as found:
        for name, words in USERS.items():
            found.client.execute_command("ACL", "SETUSER", name, *words)
        found.client.execute_command("ACL", "SETUSER", "admin", "on", ">PASSWORD", "~*", "&*", "+@all")
        with redis.Redis(port=found.port, username="admin", password="PASSWORD", decode_responses=True) as admin:
            found.client.execute_command("ACL", "SETUSER", "default", "off")
            found.client.close()
            found.client = admin
            yield found


def _is(user: str, at: Server) -> dict[str, str]:
    return {"STEPMARK_REDIS_URL": f"redis://stepmark-{user}:PASSWORD@127.0.0.1:{at.port}/0"}


@pytest.fixture
def site(locked: Server, tmp_path: Path) -> Iterator[Installation]:
    """Whoever is not told otherwise is a worker."""
    with installation.made(tmp_path / "site", **_is("worker", locked)) as found:
        yield found


def _refused(at: Server) -> list[tuple[str, str]]:
    """Who was refused what. That a client may not tell the name of its library does no harm."""
    entries = ((entry["username"], entry["object"]) for entry in at.client.acl_log())
    return [entry for entry in entries if not entry[1].startswith("client")]


def test_each_user_may_do_all_that_it_is_for(site: Installation, locked: Server) -> None:
    site.worker()
    site.variables |= _is("operator", locked)
    flower = Flower(site)
    poll(flower.workers)
    flower.wait_until_it_asks()
    fleet = site.fleet(
        {"name": "s", "workflow": "configure", "select": "all", "every": "1h"},
        web_1={},
        web_2={"fail": "ssh.wait"},
        web_3={"fail": "ssh.wait", "how": "tool", "last": "9"},
    )

    def does(status: int, *words: str | Path) -> None:
        said = site.stepmark(*words)
        assert said.status == status, said

    does(5, "up", fleet, "--env", "web-1", "--env", "web-2")
    does(0, "resume", "web-2")
    does(0, "up", fleet, "--env", "web-3", "--detach")
    poll(lambda: "web-3 ssh.wait" in site.steps)
    does(0, "pause", "--reason", "for the test")
    does(0, "unpause")
    does(0, "cancel", "web-3", "--reason", "for the test")
    does(0, "worker", "drain", "--all")
    does(0, "worker", "drain", "--all", "--off")
    does(0, "destroy", "web-2", "--yes")
    does(0, "forget", "web-2", "--reason", "for the test", "--yes")
    does(0, "adopt", "web-3", "web-9", "--yes")
    does(0, "state", "show", "web-1")
    does(0, "state", "rekey")
    does(0, "orphans", fleet)
    does(0, "schedule", "apply", fleet)
    does(5, "schedule", "run", "s")
    does(0, "schedule", "pause", "s")
    does(0, "rollout", "list")
    does(0, "retention", "run")
    poll(lambda: {"name": "tools", "messages": 0} in flower.queues())
    poll(lambda: len(flower.tasks()) > 10)
    site.variables |= _is("viewer", locked)
    looks = (("status",), ("status", "--follow"), ("show", "web-1"), ("logs", "web-1"), ("worker", "list"))
    for words in (*looks, ("rollout", "list"), ("rollout", "show"), ("schedule", "list"), ("schedule", "show", "s")):
        does(0, *words)
    assert _refused(locked) == []

    for user, verdict in (("viewer", "limited"), ("operator", "ok"), ("worker", "ok")):
        checks = site.stepmark("doctor", "--json", **_is(user, locked)).json["checks"]
        assert {check["name"]: check["verdict"] for check in checks}["redis user"] == verdict


def test_whoever_only_looks_changes_nothing_and_reads_no_state(site: Installation, locked: Server) -> None:
    before = locked.client.info("persistence")["rdb_changes_since_last_save"]
    viewer = _is("viewer", locked)

    said = [site.stepmark(*words, **viewer) for words in (("up", site.fleet(web_1={})), ("pause", "--reason", "no"))]

    assert [each.status for each in said] == [4, 4]
    assert "has no permissions to run" in said[1].err
    assert "user stepmark-viewer lacks what an operator needs: ~stepmark:* " in said[1].err
    assert locked.client.info("persistence")["rdb_changes_since_last_save"] == before
    with redis.Redis(port=locked.port, username="stepmark-viewer", password="PASSWORD") as client:
        for key in ("stepmark:workspace:web-1", "stepmark:tofu:web-1"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.hgetall(key)


@pytest.mark.parametrize("word", ["+hincrby", "+brpop", "~stepmark:*", "&stepmark:broker:/0.celery.pidbox", "+discard"])
def test_what_a_worker_lacks_is_named_before_it_begins(site: Installation, locked: Server, word: str) -> None:
    if word[0] == "+":
        locked.client.execute_command("ACL", "SETUSER", "stepmark-worker", f"-{word[1:]}")
    else:
        left = [each for each in USERS["stepmark-worker"] if each not in (word, ">PASSWORD")]
        locked.client.execute_command("ACL", "SETUSER", "stepmark-worker", "reset", ">PASSWORD", *left)

    said = site.stepmark("worker")
    checks = {check["name"]: check for check in site.stepmark("doctor", "--json").json["checks"]}

    assert said.status == 4
    assert f"user stepmark-worker lacks what a worker needs: {word}\n" in said.err
    assert checks["redis user"]["verdict"] == "missing"
    assert f"a worker needs also {word}: docs/how-to/secure-redis.md" == checks["redis user"]["advice"]


def test_nothing_is_done_when_it_is_asked_what_is_allowed(locked: Server) -> None:
    locked.client.execute_command("ACL", "SETUSER", "stepmark-worker", "-discard")
    before = locked.client.info("persistence")["rdb_changes_since_last_save"]
    settings = Settings()
    needed = permissions.rules(settings, Role.OPERATOR)

    with redis.Redis(port=locked.port, username="admin", password="PASSWORD") as admin:
        assert permissions.lacking(admin, needed) == ()
    with redis.Redis(port=locked.port, username="stepmark-worker", password="PASSWORD") as worker:
        assert permissions.lacking(worker, needed) == ("+discard",)

    assert locked.client.info("persistence")["rdb_changes_since_last_save"] == before
    assert locked.client.dbsize() == 0


def test_a_worker_that_is_started_by_celery_names_what_it_lacks(site: Installation, locked: Server) -> None:
    locked.client.execute_command("ACL", "SETUSER", "stepmark-worker", "-zadd")
    words = ("worker", "-n", "w0@test", "-Q", "wait,tools", "-P", "threads", "-c", "1", "-l", "INFO")

    site.start("w0", "-m", "celery", "-A", installation.SCRIPTED, *words)

    poll(lambda: "user stepmark-worker lacks what a worker needs: +zadd" in site.log("w0"))
