"""What counts as an environment's files."""

from __future__ import annotations

from pathlib import Path

from workers import workspaces


def test_the_digest_is_of_files_and_their_contents(tmp_path: Path) -> None:
    (tmp_path / "modules" / "inner").mkdir(parents=True)
    (tmp_path / "main.tf").write_text("one")
    (tmp_path / "modules" / "inner" / "main.tf").write_text("two")

    assert workspaces.digest_of(tmp_path) == workspaces.digest({"main.tf": b"one", "modules/inner/main.tf": b"two"})


def test_what_init_downloads_and_links_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text("one")
    (tmp_path / ".terraform" / "providers").mkdir(parents=True)
    (tmp_path / ".terraform" / "providers" / "large").write_text("three")
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / ".terraform").mkdir()
    (tmp_path / "module" / ".terraform" / "lock").write_text("four")
    (tmp_path / "link.tf").symlink_to("main.tf")
    (tmp_path / "folder").symlink_to(tmp_path / ".terraform")

    assert workspaces.digest_of(tmp_path) == workspaces.digest({"main.tf": b"one"})
