from pathlib import Path

import pytest

from tasks import errors
from tasks.sandbox import roots

RELEASE = {"VERSION_CODENAME": "bookworm"}
STANZAS = """Types: deb deb-src
# a comment
URIs: http://one.test/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://vendor.test/node
Suites: nodistro
Components: main

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: bookworm
Components: main
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(roots, "_release", lambda: RELEASE)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_only_the_sources_of_the_machines_own_release_are_taken(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(STANZAS)
    (apt / "sources.list.d/cloud.list").write_text("deb https://vendor.test/apt cloud-sdk-bookworm main\n")
    (apt / "sources.list").write_text(
        "# deb http://off.test/debian bookworm main\n"
        "deb [arch=amd64] http://two.test/security bookworm-security main\n"
        "deb-src http://two.test/debian bookworm main\n"
    )
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"

    assert roots.debian_sources(apt).splitlines() == [
        f"deb {signed} http://one.test/debian bookworm main contrib",
        f"deb {signed} http://one.test/debian bookworm-updates main contrib",
        "deb [arch=amd64] http://two.test/security bookworm-security main",
    ]


def test_a_machine_without_sources_is_told(apt: Path) -> None:
    with pytest.raises(errors.SandboxError, match="no package source for bookworm"):
        roots.debian_sources(apt)


def test_a_cached_root_is_not_built_again(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "debian_sources", lambda _apt: "deb http://one.test/debian bookworm main\n")
    built: list[Path] = []
    monkeypatch.setattr(roots, "_build", lambda root, *_rest: (built.append(root), root.mkdir()))
    said: list[str] = []

    assert roots.ensure(tmp_path, said.append) == roots.ensure(tmp_path, said.append) == built[0]
    assert len(built) == 1


def test_without_mmdebstrap_the_error_says_how_to_get_it(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "debian_sources", lambda _apt: "deb http://one.test/debian bookworm main\n")
    monkeypatch.setattr(roots.shutil, "which", lambda *_args, **_kwargs: None)

    with pytest.raises(errors.ToolMissingError, match="apt-get install mmdebstrap"):
        roots.ensure(tmp_path, lambda _line: None)
