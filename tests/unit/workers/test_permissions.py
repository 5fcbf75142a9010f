"""What a user of Redis needs, held against what is asked of Redis."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
import redis

from config.settings import Settings
from tests.support import REPOSITORY
from workers import permissions
from workers.keys import Keys
from workers.permissions import Role

PAGE = REPOSITORY / "docs" / "how-to" / "secure-redis.md"
CALL = re.compile(r"redis\.call\('(\w+)'")
# Only operators call these.
OPERATORS = {"adopt", "drain", "forget", "overview", "settle", "swap"}


@pytest.mark.parametrize("script", sorted(file.name for file in (files("workers") / "lua").iterdir()))
def test_whoever_calls_a_script_may_do_all_that_it_does(script: str) -> None:
    asked = {name.lower() for name in CALL.findall((files("workers") / "lua" / script).read_text(encoding="utf-8"))}
    roles = {Role.OPERATOR} if script.removesuffix(".lua") in OPERATORS else {Role.OPERATOR, Role.WORKER}

    for role in roles:
        assert asked <= permissions.rules(Settings(), role).commands.keys()


@pytest.mark.parametrize("role", Role)
def test_the_page_names_what_is_asked_for(role: Role) -> None:
    words = " ".join(permissions.rules(Settings(), role).words())

    assert f"\nACL SETUSER stepmark-{role} on >PASSWORD {words}\n" in PAGE.read_text()


def test_another_prefix_and_database() -> None:
    settings = Settings.model_validate({"redis_url": "redis://redis/3", "key_prefix": "fleet"})

    found = permissions.rules(settings, Role.WORKER)

    assert found.keys == ("fleet:*",)
    assert found.channels == (
        *("fleet:broker:/3.celeryev/*", "fleet:broker:/3.celeryev/worker.*"),
        "fleet:broker:/3.celery.pidbox",
    )
    assert found.commands["select"] == "3"


def test_whoever_looks_may_see_every_key_but_files_and_states() -> None:
    sealed = {"workspace", "tofu_state", "tofu_orphans", "tofu_settled", "tofu_audit", "reaper"}
    keys = Keys("stepmark")
    made = {name: getattr(keys, name) for name in dir(keys) if not name.startswith("_") and name != "prefix"}
    found = {name: key(*["tools"] * (key.__code__.co_argcount - 1)) for name, key in made.items()}
    patterns = [pattern.replace("*", ".*") for pattern in permissions.rules(Settings(), Role.VIEWER).keys]

    hidden = {name for name, key in found.items() if not any(re.fullmatch(pattern, key) for pattern in patterns)}

    assert hidden == sealed


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (redis.exceptions.NoPermissionError("this user has no permissions to run the 'hset' command"), True),
        (
            redis.ResponseError(
                "Error running script (call to f_c0): @user_script:1: @user_script: 1: "
                "The user executing the script can't run this command or subcommand"
            ),
            True,
        ),
        (
            redis.exceptions.ExecAbortError("Transaction discarded because of: NOPERM this user has no permissions"),
            True,
        ),
        (redis.ResponseError("Error running script (call to f_c0): @user_script:1: nil value"), False),
        (redis.ConnectionError("The user executing the script can't"), False),
        (ValueError("no permissions"), False),
    ],
)
def test_a_lack_of_permission_is_told_from_other_errors(error: Exception, refused: bool) -> None:
    assert permissions.refused(error) is refused
