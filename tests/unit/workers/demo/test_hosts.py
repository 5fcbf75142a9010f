"""Which kind of host the demo takes, and what it asks to install."""

from __future__ import annotations

import pytest

from config.settings import Settings
from tasks.errors import ConfigurationError, ToolMissingError
from tasks.sandbox.ladder import Lack, Ladder, Rung
from tasks.sandbox.model import HostKind
from workers.demo import hosts

PACKAGE = Lack("mmdebstrap is missing", ("mmdebstrap",))
KERNEL = Lack("namespaces cannot be used here")
ROOTLESS, FULL = Rung(HostKind.ROOTLESS, ()), Rung(HostKind.FULL, ())
GOOD = Ladder((Rung(HostKind.LIGHT, ()), ROOTLESS, FULL))
LACKING = Ladder((Rung(HostKind.LIGHT, (PACKAGE,)), ROOTLESS, FULL))
HOPELESS = Ladder((Rung(HostKind.LIGHT, (PACKAGE, KERNEL)), Rung(HostKind.ROOTLESS, (KERNEL,)), FULL))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Root runs the demo; what it would install is only noted, and then the best kind is possible."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return []


@pytest.mark.parametrize(
    ("looks", "allowed", "kind", "questions"),
    [
        ([GOOD], True, HostKind.LIGHT, []),
        ([LACKING, GOOD], True, HostKind.LIGHT, [("mmdebstrap",)]),
        ([LACKING], False, HostKind.ROOTLESS, [("mmdebstrap",)]),
    ],
    ids=["possible", "installed", "declined"],
)
def test_kind(
    looks: list[Ladder],
    allowed: bool,
    kind: HostKind,
    questions: list[tuple[str, ...]],
    asked: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[tuple[str, ...]] = []
    found = iter(looks)
    monkeypatch.setattr("tasks.sandbox.ladder.look", lambda: next(found))
    monkeypatch.setattr("tasks.adapters.daemon.call", lambda argv, **_: commands.append(argv))

    def may_install(packages: tuple[str, ...]) -> bool:
        asked.append(packages)
        return allowed

    assert hosts.kind(may_install, lambda _line: None) is kind
    assert asked == questions
    assert [command[:2] for command in commands] == (
        [("apt-get", "update"), ("apt-get", "install")] if len(looks) > 1 else []
    )


def test_a_machine_that_can_make_none_says_why(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.sandbox.ladder.look", lambda: HOPELESS)

    with pytest.raises(
        ConfigurationError, match=r"light: mmdebstrap is missing, namespaces cannot .* rootless: namesp"
    ):
        hosts.kind(lambda _: True, lambda _line: None)
    assert asked == []


def test_without_opentofu_the_hosts_are_registered_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.delenv("CI", raising=False)
    settings = Settings()

    assert hosts.provisioning(settings) is False
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ToolMissingError, match="CI is set"):
        hosts.provisioning(settings)
