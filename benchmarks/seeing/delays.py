"""Delays: from what a worker has to say to the line on the operator's screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.seeing import population
from benchmarks.seeing.screen import Screen
from benchmarks.seeing.workflow import SEEING
from tasks import workflows
from tests.support import REPOSITORY, poll
from workers.celery import app
from workers.launch import Launcher, Request
from workers.runtime import Base

# `12:00:01 web-1 seeing 5/6 nothing-5: done in 0.1 s`, and a row of the table: `web-1  seeing 5/6 nothing-5  running`
_LINE = re.compile(r"\d\d:\d\d:\d\d (\S+) seeing (\d)/\d \S+ (started|done|failed)")
_ROW = re.compile(r"(\S+) +seeing (\d)/\d \S+ +(running|failed)")
_SHOWN_AS = {"running": "started"}
_POOLS = (("wait", "threads", "100"), ("tools", "prefork", str(os.cpu_count() or 1)))

Event = tuple[str, int, str]
"""Environment, index, what has happened."""


@dataclass(frozen=True)
class Load:
    """What goes on meanwhile. seconds: how long a step takes. failing: of so many runs one fails at its third step."""

    runs: int
    seconds: float
    failing: int = 0


@dataclass(frozen=True)
class Site:
    """Where it happens."""

    folder: Path
    base: Base
    program: Path
    variables: Mapping[str, str]


def measure(site: Site, load: Load, *, terminal: bool) -> list[float]:
    """The delays in seconds: of every event, or on a terminal of those that it has shown."""
    site.base.client.flushdb()
    log = site.folder / "seeing.log"
    log.write_text("")
    _launch(site.base, load)
    screen = Screen(site.program, site.variables, terminal=terminal)
    try:
        poll(lambda: any(each["cmd"] == "xread" for each in site.base.client.client_list()), seconds=60)
        with _workers(site, log):
            screen.wait(600)
    finally:
        screen.end()
    return list(_delays(log, screen.seen, _ROW if terminal else _LINE))


def _launch(base: Base, load: Load) -> None:
    """Before there is a worker: so that the screen is there before anything happens."""
    with mock.patch.dict(workflows.WORKFLOWS, {SEEING.name: SEEING}):
        launcher = Launcher(base, app)
        for number in range(load.runs):
            seconds = load.seconds * (1 + number / load.runs)  # not all at the same moment
            fails = "3" if load.failing and number % load.failing == load.failing - 1 else "never"
            spec = population.environment(f"web-{number:05d}", seconds=f"{seconds:.3f}", fails=fails)
            launcher.launch(Request(spec, (SEEING.name,), "operator@desk", "benchmark"))


@contextmanager
def _workers(site: Site, log: Path) -> Iterator[None]:
    """Workers as `stepmark worker` starts them, while the block lasts."""
    started = []
    for queue, pool, slots in _POOLS:
        argv = (sys.executable, "-m", "celery", "-A", "benchmarks.seeing.worker", "worker", "-Q", queue)
        with (site.folder / f"{queue}.log").open("ab") as output:
            started.append(
                subprocess.Popen(
                    (*argv, "-n", f"{queue}@seeing", "-P", pool, "-c", slots, "-l", "WARNING"),
                    cwd=REPOSITORY,
                    env={**os.environ, **site.variables, "SEEING_LOG": str(log)},
                    stdout=output,
                    stderr=output,
                )
            )
    try:
        yield
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait(60)


def _delays(log: Path, seen: Sequence[tuple[float, str]], pattern: re.Pattern[str]) -> Iterator[float]:
    first: dict[Event, float] = {}
    for at, text in seen:
        if found := pattern.search(text):
            environment, index, word = found.groups()
            first.setdefault((environment, int(index), _SHOWN_AS.get(word, word)), at)
    said: dict[Event, float] = {}
    for line in log.read_text().splitlines():
        word, environment, index, moment = line.split()
        said.setdefault((environment, int(index), word), float(moment))
    yield from (first[event] - at for event, at in said.items() if event in first)
