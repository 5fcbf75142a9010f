"""Schedules: what beat fires, and the task that it fires."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app, shared_task

from config import fleet, settings
from config.settings import Settings
from tasks.errors import ConfigurationError
from workers import runtime, verbs
from workers.launch import Launcher, Request
from workers.refusals import RefusedError

logger = logging.getLogger(__name__)

FIRE = "stepmark.fire_schedule"


def entries(chosen: Settings) -> dict[str, dict[str, Any]]:
    """Beat's schedule: the schedules of the fleet file of the settings, if there is one."""
    if chosen.fleet_file is None:
        return {}
    found = fleet.load(chosen.fleet_file.expanduser()).schedules
    return {each.name: {"task": FIRE, "schedule": each.trigger, "args": (each.name,)} for each in found}


@shared_task(name=FIRE)
def fire(name: str) -> None:
    """Launch the workflow of the schedule `name` over what it selects; each run names the schedule as its trigger.

    An environment that cannot be launched (busy, or in another state) is left out with a warning.
    """
    path = settings.load().fleet_file
    if path is None:
        raise ConfigurationError(f"schedule {name} was fired, but this worker has no STEPMARK_FLEET_FILE")
    found = fleet.load(path.expanduser())
    chosen = next((each for each in found.schedules if each.name == name), None)
    if chosen is None:
        logger.warning("Schedule %s is not in %s any more", name, path)
        return
    launcher = Launcher(runtime.base_of_process(), current_app)
    trigger = f"schedule {name}"
    for environment in found.select(chosen.selection):
        request = Request(environment, verbs.workflows(chosen.workflow, environment), verbs.whoami(), trigger)
        try:
            launcher.launch(request)
        except RefusedError as error:
            logger.warning("Schedule %s leaves out %s: %s", name, environment.name, error)
