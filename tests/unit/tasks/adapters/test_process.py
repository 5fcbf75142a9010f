"""Real programs, run for real."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import guard, output, process
from tasks.adapters.process import Command, Completed
from tests.support import poll
from tests.unit.tasks import commands
from tests.unit.tasks.adapters import marked

PYTHON = sys.executable


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def session(log: list[str]) -> process.Session:
    return replace(commands.session(log, seconds=30), grace_seconds=0.3)


def python(code: str, **more: object) -> Command:
    return replace(Command((PYTHON, "-c", code), Path("/")), **more)  # type: ignore[arg-type]  # any of its fields


def shell(line: str, **more: object) -> Command:
    return replace(python("", **more), argv=("sh", "-c", line))


def test_all_of_a_program_that_ended(session: process.Session, log: list[str], tmp_path: Path) -> None:
    session.redact.add("hunter22")
    command = shell('echo "$A in $PWD"; cat; echo >&2 hunter22; exit 3', env={"A": "b"}, cwd=tmp_path, input="x\ny")

    completed = process.run(command, session)

    assert replace(completed, seconds=0, tail="") == Completed(
        command, 3, f"b in {tmp_path}\nx\ny", "hunter22\n", "", 0
    )
    assert sorted(log) == sorted([f"b in {tmp_path}", "x", "y", "***"])
    assert completed.tail == "\n".join(log)


def test_a_renewal_that_crosses_the_end_of_a_program_hides_nothing(session: process.Session) -> None:
    """A guard that ends with a renewal unread resets the connection, before what it said last has been read."""
    done = threading.Event()

    def renew() -> None:
        while not done.is_set():
            session.lifeline.feed(60)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(renew)
        try:
            found = {process.run(shell("exit 3"), session).exit_status for _ in range(20)}
        finally:
            done.set()

    assert found == {3}


def test_without_input_a_program_reads_nothing(session: process.Session) -> None:
    assert process.run(Command(("cat",), Path("/")), session).stdout == ""


def test_the_environment_is_small(session: process.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPMARK_REDIS_URL", "redis://:secret@somewhere")

    names = process.run(Command(("env",), Path("/"), env={"MINE": "1"}), session).stdout

    assert {line.partition("=")[0] for line in names.splitlines()} - set(process.INHERITED) == {
        "LANG",
        "LC_ALL",
        "MINE",
    }


def test_no_descriptor_leaks_into_a_program(session: process.Session) -> None:
    code = "import os; print([fd for fd in range(3, 100) if os.path.exists(f'/proc/self/fd/{fd}')])"
    with Path("/dev/null").open() as other:
        os.set_inheritable(other.fileno(), True)

        assert process.run(python(code), session).stdout == "[]\n"


def test_a_program_begins_with_no_signal_ignored_or_blocked(session: process.Session) -> None:
    status = process.run(Command(("cat", "/proc/self/status"), Path("/")), session).stdout
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))

    reserved = 0b11 << 31  # the two that libc keeps for itself, and that nobody can set
    assert (int(masks["SigBlk"], 16), int(masks["SigIgn"], 16) & ~reserved) == (0, 0)


def test_a_signal_is_minus_its_number(session: process.Session) -> None:
    assert process.run(shell("kill -9 $$"), session).exit_status == -signal.SIGKILL


def test_lines_come_while_the_program_runs(session: process.Session) -> None:
    command = shell("echo first; read line; echo $line", input="second")
    seen: list[float] = []
    live = replace(session, write=lambda _: seen.append(time.monotonic()))

    completed = process.run(shell("echo 1; sleep 0.5; echo 2"), live)

    assert completed.stdout == "1\n2\n"
    assert seen[1] - seen[0] > 0.3
    assert process.run(command, session).tail == "first\nsecond"


def test_a_program_that_is_not_there(session: process.Session) -> None:
    with pytest.raises(errors.ToolMissingError, match="no-such-tool is not on this worker's PATH"):
        process.run(Command(("no-such-tool",), Path("/")), session)


def test_a_folder_that_is_not_there(session: process.Session) -> None:
    with pytest.raises(errors.ToolError, match="true could not be started: No such file or directory: /no/such"):
        process.run(Command(("true",), Path("/no/such")), session)


def test_a_deadline_ends_the_family(session: process.Session) -> None:
    mark = uuid.uuid4().hex
    session.redact.add("hunter22")
    command = shell("echo begun; sleep 300 & sleep 301 # hunter22", env={"MARK": mark}, timeout_seconds=0.5)

    with pytest.raises(errors.DeadlineError) as caught:
        process.run(command, session)

    assert caught.value.args == (
        "sh did not end within 0.5 s",
        "sh -c 'echo begun; sleep 300 & sleep 301 # ***'",
        None,
        "begun",
    )
    assert marked.living(mark) == {}


def test_the_session_ends_before_the_command_may(session: process.Session) -> None:
    brief = replace(session, deadline=time.monotonic() + 0.3)

    with pytest.raises(errors.DeadlineError):
        process.run(Command(("sleep", "300"), Path("/"), timeout_seconds=200), brief)


def test_nothing_starts_after_the_deadline(session: process.Session, tmp_path: Path) -> None:
    with pytest.raises(errors.DeadlineError, match="no time was left to run touch"):
        process.run(Command(("touch", "made"), tmp_path), replace(session, deadline=time.monotonic() - 1))

    assert list(tmp_path.iterdir()) == []


def test_one_interrupt_and_time_to_write(session: process.Session, tmp_path: Path) -> None:
    """As OpenTofu does: a second signal, or TERM, would make it lose its state."""
    code = """
import signal, sys, time, pathlib
def stop(number, _):
    pathlib.Path(f"got-{number}").touch()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
print("ready", flush=True)
signal.pause()
time.sleep(0.8)
pathlib.Path("state").touch()
"""
    with pytest.raises(errors.DeadlineError):
        process.run(python(code, cwd=tmp_path, timeout_seconds=1), replace(session, grace_seconds=1))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["got-2", "state"]


def test_what_ignores_everything_is_killed(session: process.Session) -> None:
    began = time.monotonic()

    with pytest.raises(errors.DeadlineError):
        process.run(shell("trap '' INT TERM HUP; while :; do sleep 0.1; done", timeout_seconds=0.2), session)

    assert time.monotonic() - began < 4  # less than it takes to give up a stuck guard


def test_a_cut_ends_what_runs_and_forbids_the_rest(session: process.Session) -> None:
    threading.Timer(0.3, session.lifeline.cut, [errors.LeaseLostError("somebody else has it")]).start()

    for _ in range(2):
        with pytest.raises(errors.LeaseLostError, match="somebody else has it"):
            process.run(Command(("sleep", "300"), Path("/")), session)


def test_a_lease_that_is_not_renewed_ends_what_runs(session: process.Session) -> None:
    session.lifeline.feed(0.4)

    with pytest.raises(errors.LeaseLostError, match="not renewed"):
        process.run(Command(("sleep", "300"), Path("/")), session)


def test_a_daemon_that_keeps_the_output_open_holds_up_nobody(session: process.Session) -> None:
    """It left the group, so it is let live, and it writes on; what the program itself wrote is all there."""
    mark = uuid.uuid4().hex
    line = "setsid sh -c 'while :; do echo noise; done' & head -c 60000 /dev/zero | tr '\\0' x; echo; echo end"
    try:
        completed = process.run(shell(line, env={"MARK": mark}), session)

        assert completed.stdout.replace("noise\n", "").endswith("x\nend\n")
        assert completed.stdout.count("x") == 60000
        assert completed.seconds < 10
    finally:
        marked.end_all(mark)


def test_what_a_program_leaves_in_its_group_is_ended(session: process.Session) -> None:
    mark = uuid.uuid4().hex

    assert process.run(shell("sleep 300 & echo end", env={"MARK": mark}), session).stdout == "end\n"
    assert marked.living(mark) == {}


def test_a_late_child_may_finish_its_sentence(session: process.Session) -> None:
    assert process.run(shell("(sleep 0.2; echo late) & echo early"), session).stdout == "early\nlate\n"


def test_much_output_is_bounded_and_said_to_be(session: process.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "KEEP_BYTES", 1000)

    completed = process.run(shell("yes | head -n 1000"), session)

    assert (len(completed.stdout), completed.truncated) == (1000, True)
    assert completed.tail == "\n".join(["y"] * 50)


def test_a_log_that_fails_ends_the_program(session: process.Session) -> None:
    mark = uuid.uuid4().hex

    def write(line: str) -> None:
        raise OSError(f"no room for {line}")

    with pytest.raises(OSError, match="no room for one"):
        process.run(shell("echo one; sleep 300", env={"MARK": mark}), replace(session, write=write))

    assert marked.living(mark) == {}


def _descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_no_descriptor_is_left_behind(session: process.Session) -> None:
    before = _descriptors()

    process.run(Command(("true",), Path("/"), input="x"), session)
    with pytest.raises(errors.ToolMissingError):
        process.run(Command(("no-such-tool",), Path("/")), session)

    assert _descriptors() == before


def test_too_few_descriptors(session: process.Session) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest number that nothing uses
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
    try:
        with pytest.raises(errors.ToolError, match="true could not be started: Too many open files"):
            process.run(Command(("true",), Path("/")), session)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_threads_at_once(session: process.Session) -> None:
    def one(number: int) -> str:
        return process.run(shell(f"echo {number}; sleep 1"), session).stdout

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(one, range(100))) == [f"{number}\n" for number in range(100)]


def _in_a_child(answers: multiprocessing.Queue[str]) -> None:
    answers.put(process.run(shell("echo from a child"), commands.session()).stdout)


def test_in_a_daemonic_process() -> None:
    """As the children of Celery's prefork pool are."""
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    child = context.Process(target=_in_a_child, args=(answers,), daemon=True)
    child.start()

    assert answers.get(timeout=30) == "from a child\n"
    child.join(30)


def test_a_stuck_guard_is_given_up(session: process.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STUCK_SECONDS", 0.2)
    mark = uuid.uuid4().hex

    def stop() -> None:
        marked.wait_for(mark, 2)
        os.kill(marked.guard_of(mark), signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(errors.ToolError, match="the guard of sleep was killed"):
        process.run(Command(("sleep", "300"), Path("/"), {"MARK": mark}, timeout_seconds=2), session)
    stopper.join()

    assert poll(lambda: not marked.living(mark), seconds=10)


@pytest.mark.parametrize("how", ["cut", "lapsed"])
def test_a_stuck_guard_does_not_outlive_the_lease(session: process.Session, how: str) -> None:
    """Others go on soon after: a guard that is stopped must not keep its program, nor the news, until the deadline."""
    mark = uuid.uuid4().hex
    session.lifeline.feed(600 if how == "cut" else 3)

    def stop() -> None:
        marked.wait_for(mark, 2)
        os.kill(marked.guard_of(mark), signal.SIGSTOP)
        if how == "cut":
            session.lifeline.cut(errors.CancelledError("by ann"))

    stopper = threading.Thread(target=stop)
    stopper.start()
    wanted = errors.CancelledError if how == "cut" else errors.LeaseLostError
    with pytest.raises(wanted):
        process.run(Command(("sleep", "300"), Path("/"), {"MARK": mark}), session)
    late = guard.clock() - session.lifeline.lost_at - 2 * session.grace_seconds
    stopper.join()

    assert poll(lambda: not marked.living(mark), seconds=10)
    assert late < 10  # and not after a quarter of an hour
