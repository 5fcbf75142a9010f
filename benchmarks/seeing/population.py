"""Population: a fleet in Redis, written by the very scripts that move runs, without broker or worker."""

from __future__ import annotations

import random
from unittest import mock

from config.fleet import EnvironmentSpec
from tasks.errors import Kind
from tasks.failure import Cause, Failure
from tasks.identity import StepIdentity
from tasks.result import Result
from tasks.workflows import WORKFLOWS
from workers import callbacks, chain
from workers.celery import app
from workers.launch import Launcher, Request
from workers.runtime import Base
from workers.tracker import Execution, Place

# Of a hundred environments: so many are configured, in a step, in a queue; the rest has failed.
_CONFIGURED, _RUNNING, _QUEUED = 70, 10, 10
_KINDS = (Kind.INFRASTRUCTURE_OPERATION, Kind.NETWORK_CONNECTIVITY, Kind.AUTHENTICATION, Kind.QUOTA)
_SEED = 7


def fill(base: Base, count: int) -> None:
    """Make `count` environments, which are at all places of their life."""
    draw = random.Random(_SEED)  # noqa: S311 - no secret
    with mock.patch.object(chain, "send"):
        launcher = Launcher(base, app)
        for number in range(count):
            spec = environment(f"web-{number:05d}", tier=str(number % 7))
            place = launcher.launch(Request(spec, ("provision", "configure"), "operator@desk", "up by operator@desk"))
            _live(base, place, draw)


def environment(name: str, **labels: str) -> EnvironmentSpec:
    """What is declared of an environment."""
    provider = {"name": "hetzner", "token": "env:HCLOUD_TOKEN", "server_type": "cx23"}
    ssh = {"user": "root", "key": "env:SSH_KEY"}
    return EnvironmentSpec.model_validate(
        {"name": name, "groups": ["web"], "provider": provider, "ssh": ssh, "labels": labels}
    )


def _live(base: Base, place: Place, draw: random.Random) -> None:
    fate, index = draw.randrange(100), draw.randint(1, len(WORKFLOWS[place.workflow].steps))
    if fate < _CONFIGURED:
        following = _through(base, place, len(WORKFLOWS[place.workflow].steps))
        if following:
            _through(base, following, len(WORKFLOWS[following.workflow].steps))
        return
    _through(base, place, index - 1)
    if fate < _CONFIGURED + _QUEUED:
        return
    _start(base, place, index)
    if fate >= _CONFIGURED + _QUEUED + _RUNNING:
        said = ("ToolError", "the tool ended badly", "tool apply", 1, "line\n" * 20)
        found = Failure(draw.choice(_KINDS), Cause.RAISED, *said)
        callbacks.end_badly(base, base.store.run(place.run), found, (), final=True)


def _through(base: Base, place: Place, steps: int) -> Place | None:
    """Have the run's first steps done; the run that follows, if that was all."""
    following = None
    for index in range(1, steps + 1):
        execution = _start(base, place, index)
        following = base.tracker.end(execution, Result(execution.facts, note="2 added, 0 changed, 0 destroyed"))
    return following


def _start(base: Base, place: Place, index: int) -> Execution:
    steps = WORKFLOWS[place.workflow].steps
    message = StepIdentity(
        run=place.run,
        token=place.token,
        epoch=place.epoch,
        environment=place.environment,
        workflow=place.workflow,
        step=steps[index - 1].name,
        index=index,
        total=len(steps),
        delivery=place.delivery,
    )
    return base.tracker.start(message, "tools@vm1")
