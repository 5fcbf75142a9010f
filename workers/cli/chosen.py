"""Chosen: which environments of which fleet file a command is about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config import fleet as fleets
from config import settings as settings_module
from config.errors import FleetFileError, SelectionError
from config.fleet import EnvironmentSpec, Fleet
from config.schedules import Selection
from tasks import fleetcheck
from workers.cli import options


@dataclass(frozen=True)
class Chosen:
    """What the operator chose of a fleet, on the command line."""

    fleet: options.FleetFile = None
    env: options.Env = None
    group: options.Group = None
    label: options.Label = None

    def read(self) -> Fleet:
        """The fleet.

        Raises:
            FleetFileError: the file cannot be used.
        """
        return load(self.fleet)

    def of(self, fleet: Fleet) -> tuple[EnvironmentSpec, ...]:
        """The chosen environments, in the order of the file.

        Raises:
            SelectionError: the choice means none, or what there is not.
        """
        selection = Selection.model_construct(  # a name of another form is an unknown one
            environments=tuple(self.env or ()), groups=tuple(self.group or ()), labels=options.labels(self.label)
        )
        return fleet.select(selection)

    def specs(self) -> tuple[EnvironmentSpec, ...]:
        """The chosen environments, in the order of the file.

        Raises:
            FleetFileError, SelectionError: the file or the choice cannot be used.
        """
        return self.of(self.read())


def load(file: Path | None) -> Fleet:
    """The fleet in `file`, or in the default place, with the names in it checked.

    Raises:
        FleetFileError: it cannot be used.
        SelectionError: it is not there, and is called as an environment may be.
    """
    if file and file.name == str(file) and not file.suffix and not file.exists():
        raise SelectionError(f"there is no fleet file called {file}: an environment is chosen by `--env {file}`")
    fleet = fleets.load(file or default_fleet())
    if problems := fleetcheck.check(fleet):
        raise FleetFileError(problems)
    return fleet


def default_fleet() -> Path:
    """The fleet file when none is named."""
    return settings_module.load().fleet_file or Path("fleet.yaml")
