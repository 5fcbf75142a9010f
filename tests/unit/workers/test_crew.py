"""The worker processes of a machine: their commands, that they end together, and that a dead one is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.workflows.model import Queue
from tests.support import poll
from workers import crew
from workers.crew import Crew, Patience

WAITS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def test_commands_give_each_queue_its_pool_and_pass_options_on() -> None:
    made = crew.commands({Queue.TOOLS: 3, Queue.WAIT: 500}, ("-c", "7"), beat=True)
    start = (sys.executable, "-P", "-m", "workers.program", "-A", "workers")

    assert made == {
        "tools": (
            *(*start, "worker", "-Q", "tools", "-n", "tools@%h", "-P", "prefork", "-c", "3"),
            *("--loglevel", "INFO", "-c", "7"),
        ),
        "wait": (
            *(*start, "worker", "-Q", "wait", "-n", "wait@%h", "-P", "threads", "-c", "500"),
            *("--loglevel", "INFO", "-c", "7"),
        ),
        "beat": (
            *(*start, "beat", "--scheduler", "workers.beat:Scheduler"),
            *("--pidfile", "", "--loglevel", "INFO"),
        ),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(number: signal.Signals, tmp_path: Path) -> None:
    marks = [tmp_path / "one", tmp_path / "two"]

    def tell() -> None:
        poll(lambda: all(mark.exists() for mark in marks))
        os.kill(os.getpid(), number)

    threading.Thread(target=tell).start()

    assert Crew({mark.name: (sys.executable, "-c", WAITS, str(mark)) for mark in marks}).run() is True


def dying(status: int, folder: Path) -> dict[str, tuple[str, ...]]:
    """A process that notes its start and ends with the status, and one that waits."""
    ends = f"import sys; open(sys.argv[1], 'a').write('x'); raise SystemExit({status})"
    return {
        "ends": (sys.executable, "-c", ends, str(folder / "starts")),
        "waits": (sys.executable, "-c", WAITS, str(folder / "mark")),
    }


@pytest.mark.parametrize(("status", "starts"), [(0, 1), (2, 1), (3, 4)])
def test_one_that_dies_is_started_again_until_that_is_of_no_use(status: int, starts: int, tmp_path: Path) -> None:
    """Not if it was told to end, or called wrongly. Then the others end too."""
    began = time.monotonic()

    assert Crew(dying(status, tmp_path), Patience(most=3, pause_seconds=0.1)).run() is False

    assert len((tmp_path / "starts").read_text()) == starts
    assert time.monotonic() - began < 300


def test_one_that_has_lived_for_long_dies_as_if_for_the_first_time(tmp_path: Path) -> None:
    crew = Crew(dying(3, tmp_path), Patience(quick_seconds=0.0, most=0, pause_seconds=0.1))

    def tell() -> None:
        poll(lambda: (tmp_path / "starts").exists() and len((tmp_path / "starts").read_text()) > 5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell).start()

    assert crew.run() is True


def test_the_others_are_told_until_they_heed(tmp_path: Path) -> None:
    """The second signal is an order to hand over: what runs may run for long."""
    heeds = "import signal, sys, time; told = []; signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
    heeds += "while len(told) < 2: time.sleep(.05)"

    assert Crew({**dying(2, tmp_path), "waits": (sys.executable, "-c", heeds)}).run() is False


def test_the_pauses_grow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Crew(dying(3, tmp_path), Patience(most=3, pause_seconds=0.05)).run()

    assert [record.args[2] for record in caplog.records if "starting it again" in record.message] == [0.05, 0.1, 0.2]


def test_children_find_our_packages_first(monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(Path(crew.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("/elsewhere", own)))

    assert crew.environment()["PYTHONPATH"] == os.pathsep.join((own, "/elsewhere"))


@pytest.mark.parametrize(
    ("names", "files"), [(("tools",), {"pulse"}), (("tools", "wait"), {"pulse.tools", "pulse.wait"})]
)
def test_each_of_several_has_a_pulse_file_of_its_own(
    names: tuple[str, ...], files: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPMARK_PULSE_FILE", str(tmp_path / "pulse"))
    touch = "import os, pathlib, time; pathlib.Path(os.environ['STEPMARK_PULSE_FILE']).touch(); time.sleep(1)"

    Crew(dict.fromkeys(names, (sys.executable, "-c", touch))).run()

    assert {path.name for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("name", ["tasks", "config", "json", "celery"])
def test_what_lies_in_the_folder_is_not_taken_for_ours(name: str, tmp_path: Path) -> None:
    """Operators start workers where their fleet file is, which may have Python of theirs beside it."""
    (tmp_path / f"{name}.py").write_text('raise SystemExit("this is the operator\'s")')
    argv = crew.commands({Queue.WAIT: 1})["wait"]
    start = (*argv[: argv.index("worker")], "inspect", "--help")

    done = subprocess.run(start, cwd=tmp_path, env=crew.environment(), capture_output=True, text=True, check=False)

    assert (done.returncode, "operator" in done.stdout + done.stderr) == (0, False), done.stderr
