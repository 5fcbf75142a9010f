from pathlib import Path

import pytest

from tasks import errors
from tasks.sandbox import building


def test_a_folder_goes_with_its_build(tmp_path: Path) -> None:
    with building.folder(tmp_path) as folder:
        (folder / "root").mkdir()

    assert not folder.exists()


def test_a_sweep_removes_what_is_left_and_nothing_that_is_in_use(tmp_path: Path) -> None:
    left, said = tmp_path / ".building-abc", list[str]()
    (left / "root").mkdir(parents=True)
    (tmp_path / "light-abc").mkdir()

    with building.folder(tmp_path) as folder:
        building.sweep(tmp_path, said.append)
        building.sweep(tmp_path, said.append)

        assert folder.exists()
    assert said == [f"removed {left}, which a build that was interrupted had left"]
    assert not left.exists()
    assert (tmp_path / "light-abc").exists()


@pytest.mark.parametrize(
    ("place", "below"),
    [
        (r"/a/.building-x/root/a\040b", ["/a/.building-x/root/a b"]),
        ("/a/.building-xy/root", []),
        ("/a/.building-x", []),
    ],
)
def test_where_something_is_mounted(place: str, below: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"47 27 0:24 / {place} rw,relatime - tmpfs none rw\n"
    monkeypatch.setattr(Path, "read_text", lambda _self, **_how: line)

    assert building._mounts(Path("/a/.building-x")) == below


def test_an_error_names_the_program_that_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_ALONE", ("env",))

    with pytest.raises(errors.SandboxError, match=r"sh failed: no room") as caught:
        building.run(("sh", "-c", "echo no room; exit 3"), tmp_path, timeout_seconds=20)
    assert caught.value.command.startswith("sh -c")
