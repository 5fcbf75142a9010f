from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import full, image
from tasks.sandbox.model import HostKind, Place, Spec

SEED = "/var/lib/cloud/seed/nocloud"


class Engine:
    """Stands in for docker: one container, whose state follows the commands. boots: whether its init comes up."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.copied: dict[str, str] = {}
        self.state = ""
        self.boots = True

    def call(self, argv: tuple[str, ...], *, timeout_seconds: float, text: str = "") -> str:
        del timeout_seconds, text
        command, *words = argv[1:]
        if command in {"create", "start", "rm", "cp"}:
            self.asked.append(command)
        answer = getattr(self, f"_{command}", lambda _words: "")(words)
        return str(answer)

    def _create(self, words: list[str]) -> str:
        self.created = words
        self.state = "created"
        return ""

    def _start(self, _words: list[str]) -> str:
        self.state = "running" if self.boots else "exited"
        return ""

    def _rm(self, _words: list[str]) -> str:
        self.state = ""
        return ""

    def _cp(self, words: list[str]) -> str:
        assert Path(words[0]).stat().st_mode & 0o077 == 0 or SEED not in words[1]
        self.copied[words[1].partition(":")[2]] = Path(words[0]).read_text()
        return ""

    def _ps(self, _words: list[str]) -> str:
        return f"{self.state}\n"

    def _exec(self, _words: list[str]) -> str:
        return "up\n"

    def _logs(self, _words: list[str]) -> str:
        return "Failed to mount cgroup\n"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    monkeypatch.setattr(daemon, "call", found.call)
    monkeypatch.setattr(image, "ensure", lambda _roots, _say: "stepmark-host:abc")
    return found


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Place]:
    def make(**fields: object) -> Place:
        spec = Spec(name="web-1", kind=HostKind.FULL, directory=tmp_path, user_data="#cloud-config\n{}\n", **fields)
        return Place(spec, "127.9.8.7", tmp_path, tmp_path, print)

    return make


def test_create_puts_the_seed_before_the_first_boot(engine: Engine, place: Callable[..., Place]) -> None:
    full.create(place())

    assert engine.asked == ["create", "cp", "cp", "start"]
    assert engine.copied == {
        f"{SEED}/user-data": "#cloud-config\n{}\n",
        f"{SEED}/meta-data": '{"instance-id": "web-1", "local-hostname": "web-1"}',
    }
    assert "--publish=127.9.8.7:2222:22" in engine.created
    assert full.alive(place())
    assert not list(place().home.glob("file*"))


def test_host_that_stopped_boots_again_with_its_disk(engine: Engine, place: Callable[..., Place]) -> None:
    full.create(place())
    engine.state = "exited"
    engine.asked.clear()

    full.create(place())

    assert (engine.asked, engine.state) == (["start"], "running")


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_half_made_host_is_made_anew(engine: Engine, place: Callable[..., Place], state: str) -> None:
    engine.state = state

    full.create(place())

    assert engine.asked == ["rm", "create", "cp", "cp", "start"]


def test_host_that_does_not_boot_fails_with_its_last_words(engine: Engine, place: Callable[..., Place]) -> None:
    engine.boots = False

    with pytest.raises(errors.SandboxError, match="does not boot") as caught:
        full.create(place())

    assert caught.value.output_tail == "Failed to mount cgroup\n"


def test_what_a_host_is_to_be_without(engine: Engine, place: Callable[..., Place]) -> None:
    full.create(place(listen=False, packages=False))

    assert not [word for word in engine.created if word.startswith("--publish")]
    assert "Proxy" in engine.copied["/etc/apt/apt.conf.d/99unreachable"]


def test_destroy_is_done_once(engine: Engine, place: Callable[..., Place]) -> None:
    full.create(place())

    for _ in range(2):
        full.destroy(place())

    assert engine.asked.count("rm") == 1
    assert not full.alive(place())


def test_stopped_engine_is_no_host_that_is_gone(monkeypatch: pytest.MonkeyPatch, place: Callable[..., Place]) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise errors.SandboxError("docker failed: Cannot connect to the Docker daemon")

    monkeypatch.setattr(daemon, "call", refuse)

    with pytest.raises(errors.SandboxError, match="full hosts need a docker engine that answers"):
        full.alive(place())
