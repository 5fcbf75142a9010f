import os

import pytest

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import image, ladder, roots
from tasks.sandbox.ladder import Lack, Ladder, Rung
from tasks.sandbox.model import HostKind

LACK = Lack("something is missing", ("a-package",))


@pytest.mark.parametrize(
    ("light", "rootless", "kind"),
    [
        ((), (), HostKind.LIGHT),
        ((LACK,), (), HostKind.ROOTLESS),
        ((LACK,), (LACK,), None),
    ],
)
def test_the_first_possible_kind_is_taken_but_never_a_full_one(
    light: tuple[Lack, ...], rootless: tuple[Lack, ...], kind: HostKind | None
) -> None:
    rungs = (Rung(HostKind.LIGHT, light), Rung(HostKind.ROOTLESS, rootless), Rung(HostKind.FULL, ()))

    assert Ladder(rungs).kind is kind


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with none of the programs."""

    def refuse(*_args: object, **_kwargs: object) -> str:
        raise errors.SandboxError("it is not allowed")

    monkeypatch.setattr(ladder.shutil, "which", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(ladder.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(daemon, "call", refuse)
    monkeypatch.setattr(image, "engine_version", refuse)
    monkeypatch.setattr(roots, "debian_sources", refuse)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("user", "only_root"), [(0, []), (1000, ["light hosts need root"])])
def test_what_is_missing_is_said_with_the_package_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, user: int, only_root: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    light, rootless, full = ladder.look().rungs

    common = [
        Lack("there is no SSH client", ("openssh-client",)),
        Lack("unshare and nsenter are missing", ("util-linux",)),
        Lack("the Python package asyncssh is missing: pip install 'stepmark[sandbox]'"),
    ]
    assert list(rootless.lacks) == [*common, Lack("user namespaces cannot be used here: it is not allowed")]
    assert [lack.reason for lack in light.lacks][3:] == (
        only_root
        or [
            "mmdebstrap is missing: it builds their root file system",
            "it is not allowed",
            "namespaces cannot be used here: it is not allowed",
        ]
    )
    assert Lack("docker is missing", ("docker.io",)) in full.lacks
