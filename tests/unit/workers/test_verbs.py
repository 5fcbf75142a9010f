"""What operators say, as the workflows they mean."""

from __future__ import annotations

import getpass

import pytest

from config.fleet import EnvironmentSpec
from config.rollout import Canary, Policy
from workers import verbs


def environment(provider: dict[str, object]) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate({"name": "web-1", "provider": provider, "ssh": {"key": "env:KEY"}})


EXISTING = environment({"name": "existing", "address": "127.1.2.3"})
SANDBOX = environment({"name": "sandbox", "host": "light"})


@pytest.mark.parametrize(
    ("verb", "spec", "found"),
    [
        ("up", SANDBOX, ("provision", "configure")),
        ("up", EXISTING, ("register", "configure")),
        ("provision", SANDBOX, ("provision",)),
        ("destroy", EXISTING, ("destroy",)),
    ],
)
def test_workflows(verb: str, spec: EnvironmentSpec, found: tuple[str, ...]) -> None:
    assert verbs.workflows(verb, spec) == found


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    assert verbs.whoami().startswith(f"{getpass.getuser()}@")
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert verbs.whoami().startswith("unknown@")


@pytest.mark.parametrize(
    ("verb", "holds"), [("up", True), ("configure", True), ("resume", True), ("drift-check", False)]
)
def test_a_look_needs_no_canary(verb: str, holds: bool) -> None:
    found = verbs.policy(verb, Policy(max_parallel=3, canary=Canary(size=1)))

    assert (found.max_parallel, found.canary is not None) == (3, holds)
