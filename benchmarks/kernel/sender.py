"""Sends the work, in a process of its own: `python -m benchmarks.kernel.sender bare PREFIX COUNT`."""

from __future__ import annotations

import sys

from benchmarks.kernel import bare, shape
from config import settings
from config.fleet import EnvironmentSpec
from workers import runtime
from workers.celery import app
from workers.launch import Launcher, Request


def specification(name: str) -> EnvironmentSpec:
    """An environment such as a fleet file declares."""
    return EnvironmentSpec.model_validate(
        {
            "name": name,
            "provider": {"name": "existing", "address": "127.1.2.3"},
            "ssh": {"key": "env:KEY"},
            "labels": {"site": "here", "role": "web"},
        }
    )


def main(what: str, prefix: str, count: int) -> None:
    """Send `count` times 13 steps."""
    names = [f"{prefix}-{number}" for number in range(count)]
    if what == "bare":
        for name in names:
            bare.send(name, shape.PROVISION.name)
        return
    launcher = Launcher(runtime.base(settings.load()), app)
    workflows = (shape.PROVISION.name, shape.CONFIGURE.name)
    for name in names:
        launcher.launch(Request(specification(name), workflows, "bench@here", "benchmark"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
