"""The worker processes of a machine: their commands, and that they end together."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.workflows.model import Queue
from tests.support import poll
from workers import crew
from workers.crew import Crew

WAITS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def test_commands_give_each_queue_its_pool_and_pass_options_on() -> None:
    made = crew.commands({Queue.TOOLS: 3, Queue.WAIT: 500}, ("-c", "7"), beat=True)
    start = (sys.executable, "-m", "celery", "-A", "workers")

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


def test_the_end_of_one_ends_the_others(tmp_path: Path) -> None:
    began = time.monotonic()
    made = {
        "ends": (sys.executable, "-c", "raise SystemExit(3)"),
        "waits": (sys.executable, "-c", WAITS, str(tmp_path / "mark")),
    }

    assert Crew(made).run() is False
    assert time.monotonic() - began < 300


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
