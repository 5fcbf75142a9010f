"""The scripts themselves, on this machine: each command is given to a shell in a session of its own, as sshd does."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import remote_scope
from tasks.adapters.remote_scope import Scope
from tests.support import poll
from tests.unit.tasks import commands
from tests.unit.tasks.adapters import marked

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: cannot become another user")


@dataclass
class Host:
    """home: of the user who logs in. shell: what /bin/sh is there. user: None is ours."""

    home: Path
    shell: str = "/bin/sh"
    user: int | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def scope(self, epoch: int, run: str = "0a") -> Scope:
        return Scope(f"test-{self.mark}", run, epoch)

    @property
    def place(self) -> Path:
        base = Path("/run/stepmark") if os.geteuid() == 0 and self.user is None else self.home / ".stepmark"
        return base / self.scope(1).environment

    def start(self, scope: Scope, command: str) -> subprocess.Popen[str]:
        text = remote_scope.within(scope, command).replace("/bin/sh", self.shell)
        return subprocess.Popen(
            ["/bin/sh", "-c", text],
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "MARK": self.mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=self.user,
            start_new_session=True,
        )

    def run(self, scope: Scope, command: str, given: str = "") -> tuple[int, str, str]:
        started = self.start(scope, command)
        said, complained = started.communicate(given, timeout=60)
        return started.returncode, said, complained

    def running(self, words: str, count: int = 1) -> list[int]:
        """Wait until so many processes have `words` as their whole command line."""

        def found() -> list[int]:
            return [pid for pid, text in marked.living(self.mark).items() if text == words]

        poll(lambda: len(found()) == count, seconds=20)
        return found()

    def close(self) -> None:
        marked.end_all(self.mark)
        shutil.rmtree(self.place, ignore_errors=True)


@pytest.fixture(params=["/bin/sh", "/bin/bash"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if not Path(request.param).exists():
        pytest.skip(f"no {request.param}")
    made = Host(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def hosts_of_others(tmp_path: Path) -> Iterator[Callable[[], Host]]:
    """Hosts where somebody without rights logs in, whose home is `tmp_path/home`."""
    made: list[Host] = []

    def make() -> Host:
        for folder in (tmp_path, *tmp_path.parents):
            if folder.name.startswith("pytest-of-"):
                folder.chmod(0o755)
                break
            folder.chmod(0o755)
        home = tmp_path / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        made.append(Host(home, user=NOBODY))
        return made[0]

    yield make
    for each in made:
        each.close()


def test_a_command_is_run_as_it_would_be_without(host: Host) -> None:
    line = 'cat; printf \'%s|%s\' "a  \'b" "$STEPMARK_SCOPE"; echo oh >&2; exit 3'

    assert host.run(host.scope(1), line, "in\n") == (3, "in\na  'b|0a.00000001", "oh\n")
    assert [path.name for path in host.place.rglob("*")] == ["0a.00000001"]


def test_our_own_place_is_private(host: Host) -> None:
    host.run(host.scope(1), "true")

    assert {path.stat().st_mode & 0o777 for path in (host.place.parent, host.place, *host.place.iterdir())} == {0o700}


def test_a_later_command_first_ends_all_of_an_earlier_one(host: Host) -> None:
    """With what ignores TERM, and what went to a session of its own but not away from its parent, as under sudo."""
    family = 'trap "" TERM HUP; sleep 30770 & trap - TERM HUP; setsid sh -c "sleep 30771; :" & sleep 30772'
    host.start(host.scope(1), family)
    for words in ("sleep 30770", "sleep 30771", "sleep 30772"):
        host.running(words)

    status, said, complained = host.run(host.scope(2), "pgrep -fc 'sleep 3077[012]$' || :")

    assert (status, "ending what an earlier run still does here" in complained) == (0, True)
    assert marked.living(host.mark) == {}
    assert said.strip() == "0"
    assert [path.name for path in host.place.rglob("*")] == ["0a.00000002"]


def test_a_daemon_of_an_earlier_command_lives_on(host: Host) -> None:
    host.start(host.scope(1), "(setsid sleep 303 >/dev/null 2>&1 &); sleep 304")
    for words in ("sleep 303", "sleep 304"):
        host.running(words)

    host.run(host.scope(2), "true")

    assert list(marked.living(host.mark).values()) == ["sleep 303"]


def test_what_an_ended_command_left_running_is_let_live(host: Host) -> None:
    host.run(host.scope(1), "nohup sleep 305 >/dev/null 2>&1 &")

    host.run(host.scope(2), "true")

    assert list(marked.living(host.mark).values()) == ["sleep 305"]


@pytest.mark.parametrize(
    ("earlier", "later"), [((9, "0a"), (10, "0a")), ((7, "0a"), (1, "0b")), ((1, "09f"), (1, "0a0"))]
)
def test_a_late_command_of_an_earlier_scope_is_refused(
    host: Host, earlier: tuple[int, str], later: tuple[int, str]
) -> None:
    host.run(host.scope(*later), "true")

    status, said, complained = host.run(host.scope(*earlier), "echo ran")

    assert (status, said) == (remote_scope.REFUSED, "")
    with pytest.raises(errors.LaterScopeError, match="a later run works on the host"):
        remote_scope.check(status, complained, commands.session(), "echo ran")
    assert host.run(host.scope(*later), "echo ran")[:2] == (0, "ran\n")


def test_commands_of_one_scope_do_not_mind_each_other(host: Host) -> None:
    first = host.start(host.scope(1), "read line; echo $line")

    assert host.run(host.scope(1), "echo second")[1] == "second\n"
    assert first.communicate("first\n", timeout=20)[0] == "first\n"


def test_environments_do_not_mind_each_other(host: Host) -> None:
    host.start(host.scope(1), "sleep 306")
    host.running("sleep 306")
    other = replace(host.scope(2, "ff"), environment=f"other-{host.mark}")
    try:
        assert host.run(other, "true")[0] == 0
        host.running("sleep 306")
    finally:
        shutil.rmtree(host.place.with_name(other.environment))


def test_a_closed_scope_ends_and_refuses_its_own_and_lets_the_next_in(host: Host) -> None:
    host.start(host.scope(1), "sleep 307")
    host.running("sleep 307")

    assert host.run(host.scope(1).after(), "true")[0] == 0

    assert marked.living(host.mark) == {}
    assert host.run(host.scope(1), "true")[0] == remote_scope.REFUSED
    assert host.run(host.scope(2), "true")[0] == 0


def test_a_command_whose_first_process_was_killed_is_found(host: Host) -> None:
    started = host.start(host.scope(1), "sleep 308; :")
    host.running("sleep 308")
    started.kill()
    started.wait(20)

    host.run(host.scope(2), "true")

    assert marked.living(host.mark) == {}


def test_a_process_under_the_number_of_a_dead_one_is_not_ours(host: Host) -> None:
    """Its session's leader may have ended since too, as daemons' do."""
    host.run(host.scope(1), "true")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    environment = {"PATH": os.environ["PATH"], "MARK": host.mark}
    live = subprocess.Popen(["sleep", "309"], env=environment, start_new_session=True)
    dead = subprocess.Popen(["sh", "-c", "sleep 310 & exit"], env=environment, start_new_session=True)
    dead.wait(20)
    for leader in (live.pid, dead.pid):
        (host.place / "0a.00000001" / f"{leader}.12345.{boot}").touch()

    assert host.run(host.scope(2), "true") == (0, "", "")
    assert sorted(marked.living(host.mark).values()) == ["sleep 309", "sleep 310"]
    live.kill()
    live.wait(20)


def test_a_hang_up_does_not_hide_a_command(host: Host) -> None:
    started = host.start(host.scope(1), "trap '' HUP; sleep 311; :")
    host.running("sleep 311")
    os.killpg(started.pid, signal.SIGHUP)

    host.run(host.scope(2), "true")

    assert marked.living(host.mark) == {}


def test_without_a_session_of_its_own_a_command_makes_one(host: Host) -> None:
    line = remote_scope.within(host.scope(1), "cut -d' ' -f6 /proc/self/stat; sleep 312").replace("/bin/sh", host.shell)
    shared = subprocess.Popen(
        ["sh", "-c", "sh -c 'eval \"$LINE\"'; :"],
        env={"PATH": os.environ["PATH"], "HOME": str(host.home), "MARK": host.mark, "LINE": line},
        stdout=subprocess.PIPE,
        text=True,
    )
    host.running("sleep 312")

    host.run(host.scope(2), "true")

    said, _ = shared.communicate(timeout=20)
    assert int(said) != os.getsid(0)
    assert marked.living(host.mark) == {}


def test_whichever_way_they_meet_never_two_at_once(host: Host, tmp_path: Path) -> None:
    """Thirty scopes at once. Each command says who of another scope it finds alive, then leaves its own number."""
    body = (
        f'cd {tmp_path}; for other in at-*; do [ "$other" = "at-*" ] || '
        '{ read -r pid <$other; [ ! -e /proc/$pid ] || [ "$pid" = "$(cat at-$STEPMARK_SCOPE 2>/dev/null)" ] '
        '|| grep -q "^State:.Z" /proc/$pid/status || echo "$STEPMARK_SCOPE met $other"; }; done; '
        "echo $$ >at-$STEPMARK_SCOPE; sleep 0.3; : >ended-$STEPMARK_SCOPE"
    )
    epochs = random.Random(7).sample(range(1, 31), 30)  # noqa: S311 - an order like any other

    started = [host.start(host.scope(epoch), body) for epoch in epochs]
    said = [each.communicate(timeout=120) for each in started]

    assert [out for out, _ in said if out] == []
    assert {each.returncode for each in started} <= {0, remote_scope.REFUSED, 128 + signal.SIGTERM, -signal.SIGTERM}
    assert (tmp_path / "ended-0a.00000030").exists()


@as_root
def test_whoever_has_no_rights_keeps_notes_at_home(hosts_of_others: Callable[[], Host]) -> None:
    host = hosts_of_others()
    host.start(host.scope(1), "sleep 313")
    host.running("sleep 313")

    assert host.run(host.scope(2), "true")[0] == 0

    assert marked.living(host.mark) == {}
    assert [path.name for path in host.place.rglob("*")] == ["0a.00000002"]


@as_root
def test_without_a_place_for_notes_a_command_runs_all_the_same(hosts_of_others: Callable[[], Host]) -> None:
    host = hosts_of_others()
    host.home.chmod(0o500)

    status, said, complained = host.run(host.scope(1), "echo ran")

    nothing = f"stepmark: no later run can end this command: nothing can be written in {host.place}\n"
    assert (status, said, complained) == (0, "ran\n", nothing)


@as_root
def test_what_cannot_be_ended_is_not_joined(
    hosts_of_others: Callable[[], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of root's, where the login may not become root."""
    whole = remote_scope._text

    def hasty(name: str) -> str:
        return whole(name).replace("grace=3 patience=10", "grace=1 patience=3")

    monkeypatch.setattr(remote_scope, "_text", hasty)
    host = hosts_of_others()
    host.run(host.scope(1), "true")
    kept = subprocess.Popen(["sleep", "314"], start_new_session=True, env={"MARK": host.mark})
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = Path(f"/proc/{kept.pid}/stat").read_text().rpartition(")")[2].split()[19]
    (host.place / "0a.00000001" / f"{kept.pid}.{started}.{boot}").touch()

    status, said, complained = host.run(host.scope(2), "echo ran")

    assert (status, said) == (remote_scope.STUCK, "")
    with pytest.raises(errors.RemoteCommandError) as caught:
        remote_scope.check(status, complained, commands.session(), "echo ran")
    end = "end it on the host, or restart the host, then resume"
    assert str(caught.value) == f"stepmark: stuck: of an earlier run this does not end: {kept.pid} ; {end}"
    kept.kill()
    kept.wait(20)


def test_names_sort_as_scopes_do() -> None:
    scopes = [Scope("e", "0a", 2), Scope("e", "0a", 2).after(), Scope("e", "0a", 10), Scope("e", "0b", 1)]

    assert sorted(each.name for each in scopes) == [each.name for each in scopes]


def test_parse() -> None:
    assert remote_scope.parse("web-1", "0190d3a7e0b.12") == Scope("web-1", "0190d3a7e0b", 12)
    assert remote_scope.parse("web-1", "") is None


def test_without_a_scope_a_command_stays_as_it_is() -> None:
    assert remote_scope.within(None, "a | b") == "a | b"


def test_ansibles_client_can_be_run() -> None:
    assert os.access(Path(remote_scope.__file__).with_name("remote") / "ssh", os.X_OK)
