"""Schedules: what beat fires, and the task that it fires."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, cast

from celery import current_app, shared_task
from pydantic import BaseModel

from config import fleet, settings
from config.fleet import EnvironmentSpec, Schedule
from config.settings import Settings
from tasks.errors import ConfigurationError
from workers import readiness, runtime, verbs
from workers.launch import Launcher, Request
from workers.refusals import RefusedError
from workers.runtime import Base

logger = logging.getLogger(__name__)

FIRE = "stepmark.fire_schedule"


class Firing(BaseModel):
    """What one firing of a schedule did. fired_at: Unix seconds. launched: runs, left_out: reasons, by environment."""

    schedule: str
    fired_at: float
    launched: dict[str, str] = {}
    left_out: dict[str, str] = {}


def entries(chosen: Settings) -> dict[str, dict[str, Any]]:
    """Beat's schedule: the schedules of the fleet file of the settings, if there is one."""
    if chosen.fleet_file is None:
        return {}
    found = fleet.load(chosen.fleet_file.expanduser()).schedules
    return {each.name: {"task": FIRE, "schedule": each.trigger, "args": (each.name,)} for each in found}


@shared_task(name=FIRE)
def fire(name: str) -> None:
    """Launch the workflow of the schedule `name` over what it selects; each run names the schedule as its trigger.

    An environment that cannot be launched (busy, in another state, or its workers lack something) is left out with a
    warning, and with a record that `stepmark status` shows until the schedule is fired again.
    """
    path = settings.load().fleet_file
    if path is None:
        raise ConfigurationError(f"schedule {name} was fired, but this worker has no STEPMARK_FLEET_FILE")
    found = fleet.load(path.expanduser())
    chosen = next((each for each in found.schedules if each.name == name), None)
    if chosen is None:
        logger.warning("Schedule %s is not in %s any more", name, path)
        return
    base = runtime.base_of_process()
    firing = _fire(base, chosen, found.select(chosen.selection))
    base.client.hset(base.keys.schedules(), name, firing.model_dump_json())


def firings(base: Base) -> tuple[Firing, ...]:
    """The last firing of each schedule that was ever fired, by name."""
    kept = cast("dict[str, str]", base.client.hgetall(base.keys.schedules()))
    return tuple(Firing.model_validate_json(kept[name]) for name in sorted(kept))


def _fire(base: Base, schedule: Schedule, specs: Iterable[EnvironmentSpec]) -> Firing:
    chosen = [(spec, verbs.workflows(schedule.workflow, spec)) for spec in specs]
    wanted = {spec.name: readiness.wanted(base, spec, workflows) for spec, workflows in chosen}
    ready = readiness.ask(base, current_app, frozenset().union(*wanted.values()))
    for warning in ready.warnings():
        logger.warning("Schedule %s: %s", schedule.name, warning)
    firing = Firing(schedule=schedule.name, fired_at=base.now())
    launcher = Launcher(base, current_app)
    for spec, workflows in chosen:
        try:
            ready.demand(wanted[spec.name])
            request = Request(spec, workflows, verbs.whoami(), f"schedule {schedule.name}")
            firing.launched[spec.name] = launcher.launch(request).run
        except RefusedError as error:
            firing.left_out[spec.name] = str(error)
            logger.warning("Schedule %s leaves out %s: %s", schedule.name, spec.name, error)
    return firing
