"""A real guard over real programs, with the worker dying in every way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters import guard
from tests.support import poll
from tests.unit.tasks.adapters import marked

ROOT = Path(__file__).parents[4]
# A tool, its child, a child that ignores INT and TERM, and one in a session of its own, as Ansible's workers are.
FAMILY = ("sh", "-c", 'trap "" INT TERM; sleep 300 & trap - INT TERM; setsid sleep 301 & sleep 302 & wait')
MEMBERS = 5  # with the guard
# Long: a busy machine may keep the stand-in from renewing for seconds. Short: where it is to run out.
LONG_LEASE, SHORT_LEASE = 60.0, 2.0


class Worker:
    """A stand-in process that runs `argv`."""

    def __init__(self, argv: tuple[str, ...], lease_seconds: float = LONG_LEASE) -> None:
        self.mark = uuid.uuid4().hex
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.tasks.adapters.standin", self.mark, str(lease_seconds), *argv],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def said(self) -> str:
        return self.child.communicate(timeout=30)[0].strip()

    def close(self) -> None:
        self.child.kill()
        self.child.communicate()
        marked.end_all(self.mark)


@pytest.fixture(params=[LONG_LEASE])
def family(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A stand-in whose program has started all of `FAMILY`."""
    worker = Worker(FAMILY, request.param)
    try:
        marked.wait_for(worker.mark, MEMBERS)
        yield worker
    finally:
        worker.close()


def test_a_killed_worker_takes_its_program_along(family: Worker) -> None:
    family.signal(signal.SIGKILL)

    assert marked.wait_for(family.mark, 0) == {}


@pytest.mark.parametrize("family", [SHORT_LEASE], indirect=True)
def test_a_stopped_worker_loses_its_program_when_the_lease_lapses_and_learns_of_it(family: Worker) -> None:
    family.signal(signal.SIGSTOP)
    assert marked.wait_for(family.mark, 0) == {}

    family.signal(signal.SIGCONT)

    assert family.said() == "LeaseLostError the run is no longer held here: its lease was not renewed in time"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_program_without_a_reader_can_still_clean_up(number: int, tmp_path: Path) -> None:
    """As OpenTofu does, which says much while it writes its state after an interrupt."""
    code = f"""
import pathlib, signal, sys
signal.signal(signal.SIGINT, lambda *_: None)
print("ready", flush=True)
pathlib.Path({str(tmp_path)!r}, "ready").touch()
signal.pause()
for stream in (sys.stdout, sys.stderr):
    print("x" * 300_000, file=stream, flush=True)
pathlib.Path({str(tmp_path)!r}, "state").touch()
"""
    worker = Worker((sys.executable, "-c", code), SHORT_LEASE if number == signal.SIGSTOP else LONG_LEASE)
    try:
        poll((tmp_path / "ready").exists, seconds=20)
        worker.signal(number)
        marked.wait_for(worker.mark, 0)

        assert (tmp_path / "state").exists()
    finally:
        worker.close()


def test_a_worker_stopped_for_less_than_its_lease_keeps_its_program() -> None:
    worker = Worker(("sh", "-c", "sleep 2; exit 5"))
    try:
        marked.wait_for(worker.mark, 3)
        worker.signal(signal.SIGSTOP)
        poll(lambda: b"T (stopped)" in Path(f"/proc/{worker.child.pid}/status").read_bytes(), seconds=5)
        worker.signal(signal.SIGCONT)

        assert worker.said() == "5"
    finally:
        worker.close()


def test_a_killed_guard_takes_its_program_along(family: Worker) -> None:
    os.kill(marked.guard_of(family.mark), signal.SIGKILL)

    assert family.said() == "ToolError the guard of sh was killed"
    # What left the group of a program that an interrupt ends at once may be out of sight by then.
    assert set(marked.living(family.mark).values()) <= {"sleep 301"}


def test_a_killed_guard_takes_a_deaf_program_along_and_what_left_its_group() -> None:
    worker = Worker(("sh", "-c", 'trap "" INT TERM; sleep 300 & setsid sleep 301 & wait'))
    try:
        marked.wait_for(worker.mark, 4)
        os.kill(marked.guard_of(worker.mark), signal.SIGKILL)

        assert worker.said() == "ToolError the guard of sh was killed"
        assert marked.wait_for(worker.mark, 0) == {}
    finally:
        worker.close()


def test_a_program_whose_guard_and_worker_are_killed_is_interrupted(tmp_path: Path) -> None:
    code = f"""
import pathlib, signal
signal.signal(signal.SIGINT, lambda *_: pathlib.Path({str(tmp_path)!r}, "interrupted").touch())
pathlib.Path({str(tmp_path)!r}, "ready").touch()
signal.pause()
"""
    worker = Worker((sys.executable, "-c", code))
    try:
        poll((tmp_path / "ready").exists, seconds=20)
        found = marked.guard_of(worker.mark)
        worker.signal(signal.SIGSTOP)  # else it would notice before it dies itself
        os.kill(found, signal.SIGKILL)
        worker.signal(signal.SIGKILL)

        assert marked.wait_for(worker.mark, 0) == {}
        assert (tmp_path / "interrupted").exists()
    finally:
        worker.close()


def test_a_terminated_guard_ends_its_program_in_order(family: Worker) -> None:
    os.kill(marked.guard_of(family.mark), signal.SIGTERM)

    assert family.said() == "ToolError the guard of sh was terminated"
    assert marked.wait_for(family.mark, 0) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_guard_is_deaf_to_a_terminal(number: int) -> None:
    worker = Worker(("sh", "-c", "sleep 1; exit 4"))
    try:
        marked.wait_for(worker.mark, 3)
        os.kill(marked.guard_of(worker.mark), number)

        assert worker.said() == "4"
    finally:
        worker.close()


def test_processes_know_parent_group_and_start() -> None:
    parent, group, started = guard.processes()[os.getpid()]

    assert (parent, group) == (os.getppid(), os.getpgid(0))
    assert started > 0
