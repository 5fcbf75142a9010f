"""`api` and the program, with a kind of host that only writes down what it is asked."""

import json
from pathlib import Path

import pytest

from tasks import errors
from tasks.sandbox import __main__ as program
from tasks.sandbox import api, store
from tasks.sandbox.model import HostKind, Place, Say, Spec


class Recorder:
    """A kind of host. `asked`: each call, with the host's name; `up`: the hosts that run."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.up: set[str] = set()
        self.broken = False

    def ensure_root(self, roots: Path, say: Say) -> str:
        say(f"building in {roots}")
        return "root-1"

    def create(self, place: Place) -> None:
        assert place.home.is_dir()
        self.asked.append(("create", place.spec.name))
        if self.broken:
            raise errors.SandboxError("it does not start", output_tail="its last words")
        self.up.add(place.spec.name)

    def alive(self, place: Place) -> bool:
        return place.spec.name in self.up

    def destroy(self, place: Place) -> None:
        self.asked.append(("destroy", place.spec.name))
        self.up.discard(place.spec.name)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(api, "backend", lambda _kind: recorder)
    return recorder


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return Spec(name="web-1", kind=HostKind.LIGHT, directory=tmp_path / "sandbox", roots=tmp_path / "roots")


def ignore(_line: str) -> None:
    """Progress is of no interest."""


def test_create_twice_is_one_host_and_one_address(hosts: Recorder, spec: Spec) -> None:
    first = api.create(spec, ignore)

    assert first.model_dump(exclude={"ip_address"}) == {
        "name": "web-1",
        "image": "light",
        "status": "running",
        "ssh_port": 2222,
    }
    assert api.create(spec, ignore) == first
    assert api.status(spec.directory, "web-1") == first
    assert api.instances(spec.directory) == [first]


def test_a_host_that_is_there_is_known_as_it_is_asked_for_now(hosts: Recorder, spec: Spec) -> None:
    first = api.create(spec.model_copy(update={"listen": False}), ignore)

    assert api.create(spec, ignore) == first
    known = store.load(spec.directory, "web-1")
    assert known is not None
    assert (known.listen, known.address) == (True, first.ip_address)


def test_the_address_asked_for_is_used(hosts: Recorder, spec: Spec) -> None:
    asked = spec.model_copy(update={"address": "127.9.9.9"})

    assert api.create(asked, ignore).ip_address == "127.9.9.9"


def test_a_host_that_failed_half_way_is_known_and_can_be_destroyed(hosts: Recorder, spec: Spec) -> None:
    hosts.broken = True
    with pytest.raises(errors.SandboxError):
        api.create(spec, ignore)

    found = api.status(spec.directory, "web-1")
    assert found is not None
    assert found.status == "stopped"
    assert api.destroy(spec.directory, "web-1", ignore)
    assert hosts.asked == [("create", "web-1"), ("destroy", "web-1")]
    assert not store.home(spec.directory, "web-1").exists()


def test_destroy_of_what_is_not_there_is_no_error(hosts: Recorder, spec: Spec) -> None:
    assert not api.destroy(spec.directory, "web-1", ignore)
    assert hosts.asked == []


def test_a_name_that_another_kind_has_is_refused(hosts: Recorder, spec: Spec) -> None:
    api.create(spec, ignore)

    with pytest.raises(errors.ConfigurationError, match="as a light host"):
        api.create(spec.model_copy(update={"kind": HostKind.ROOTLESS}), ignore)


def test_fail_boot_fails_before_anything_is_made(hosts: Recorder, spec: Spec) -> None:
    with pytest.raises(errors.SandboxError, match="fail_boot is set"):
        api.create(spec.model_copy(update={"fail_boot": True}), ignore)
    assert hosts.asked == []


def test_the_program_answers_in_json(
    hosts: Recorder, spec: Spec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(program.SPEC_VARIABLE, spec.model_dump_json())
    assert program.main(["create"]) == 0
    created = json.loads(capsys.readouterr().out)
    assert program.main(["list", str(spec.directory)]) == 0
    assert json.loads(capsys.readouterr().out) == [created]
    assert program.main(["destroy"]) == 0
    assert json.loads(capsys.readouterr().out) == {"destroyed": True}
    assert program.main(["status", str(spec.directory), "web-1"]) == 0
    assert json.loads(capsys.readouterr().out) is None
    assert program.main(["roots", "light", "--roots", str(spec.roots)]) == 0
    assert json.loads(capsys.readouterr().out) == {"root": "root-1"}


def test_the_program_fails_with_the_reason(
    hosts: Recorder, spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.broken = True
    file = tmp_path / "spec.json"
    file.write_text(spec.model_dump_json())

    assert program.main(["create", str(file)]) == 1
    assert capsys.readouterr().err == "error: it does not start\nits last words\n"


@pytest.mark.parametrize("text", ["", "{}", '{"name": "../x", "kind": "light", "directory": "/tmp"}', '{"nme": 1}'])
def test_the_program_refuses_what_is_no_specification(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "spec.json"
    file.write_text(text)

    assert program.main(["create", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error: the specification cannot be used: ")
