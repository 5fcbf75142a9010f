"""The fleet file: environments, groups, defaults, schedules, rollout policy; `load(path)` reads one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from config import layers, tree
from config.errors import FleetFileError, Problem, SelectionError
from config.model import Model
from config.names import LabelKey, Line, Matching, Name
from config.parameters import Parameters
from config.problems import Checker, Shape, suggest
from config.providers import registry
from config.rollout import Policy
from config.schedules import Schedule, Selection
from config.secrets import SecretRef

__all__ = ["EnvironmentSpec", "Fleet", "Name", "Schedule", "SecretRef", "Selection", "Ssh", "load"]

_ADVICE = "give it here, in one of the environment's groups, or in `defaults`"


class Ssh(Model):
    """How to log in."""

    user: Annotated[str, Matching(r"[a-z_][a-z0-9_-]*", "a-z, 0-9, `_` and `-`, a letter or `_` first", 32)] = Field(
        default="root", description="The user to log in as; made by cloud-init on a new host."
    )
    port: int = Field(22, ge=1, le=65535, description="The port that sshd listens on.")
    key: SecretRef = Field(description="The private key.")


class EnvironmentSpec(Model):
    """One environment with the defaults of its groups and of the fleet already merged in."""

    name: Name
    provider: Annotated[Any, registry.AnySettings()] = Field(description="Where its host comes from.")
    ssh: Ssh
    labels: dict[LabelKey, Line] = Field(default={}, description="What to select it by, with values of your own.")
    groups: tuple[Name, ...] = Field(default=(), description="Groups that it takes settings from; the later one wins.")
    parameters: Parameters = Field(default=Parameters(), description="What the steps are to do.")


@dataclass(frozen=True)
class Fleet:
    """A fleet file as read.

    nodes: by environment, all that it is made of, with the place in the file where each value was written.
    schedule_nodes, rollout_node: the same, of `schedules` in their order, and of the rollout policy.
    """

    path: Path
    environments: tuple[EnvironmentSpec, ...]
    schedules: tuple[Schedule, ...]
    rollout: Policy
    nodes: Mapping[str, tree.Node]
    schedule_nodes: tuple[tree.Node, ...]
    rollout_node: tree.Node

    def select(self, selection: Selection) -> tuple[EnvironmentSpec, ...]:
        """The environments that `selection` means, in the order of the file.

        Raises:
            SelectionError: it names an environment or a group that there is not, or means no environment at all.
        """
        names = {environment.name for environment in self.environments}
        groups = {group for environment in self.environments for group in environment.groups}
        for what, asked, known in (("environment", selection.environments, names), ("group", selection.groups, groups)):
            for name in asked:
                if name not in known:
                    raise SelectionError(f"no {what} is called `{name}`{suggest(name, known)}")
        found = tuple(environment for environment in self.environments if _selected(environment, selection))
        if not found:
            raise SelectionError("no environment is selected: no one has all that is asked for")
        return found


def load(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        FleetFileError: it cannot be used; it names everything that is wrong, each with its place.
    """
    root, problems = tree.read(path)
    splitter = layers.Splitter(root)
    parts = splitter.split()
    folder = str(path.absolute().parent)
    environment = Checker(EnvironmentSpec, folder, _ADVICE)
    environments, wrong_environments = _make(environment, parts.environments)
    schedules, wrong_schedules = _make(Checker(Schedule, folder), parts.schedules)
    rollout, wrong_rollout = Checker(Policy, folder).make(parts.rollout)
    problems += [*splitter.problems, *wrong_environments, *wrong_schedules, *wrong_rollout]
    for node in parts.partial:
        problems += environment.partial(node)
    if not problems:
        nodes = {spec.name: node for spec, node in zip(environments, parts.environments, strict=True)}
        policy = rollout or Policy()
        fleet = Fleet(path, environments, schedules, policy, nodes, parts.schedules, parts.rollout)
        problems = _selections(fleet)
    if problems:
        raise FleetFileError(problems)
    return fleet


def _make(checker: Checker[Shape], nodes: tuple[tree.Node, ...]) -> tuple[tuple[Shape, ...], list[Problem]]:
    made = [checker.make(node) for node in nodes]
    return tuple(value for value, _ in made if value is not None), [problem for _, found in made for problem in found]


def _selections(fleet: Fleet) -> list[Problem]:
    found = []
    for schedule, node in zip(fleet.schedules, fleet.schedule_nodes, strict=True):
        if schedule.select is None:
            continue  # whether it needs one is for the second pass, which knows the workflows
        try:
            fleet.select(schedule.selection)
        except SelectionError as error:
            found.append((node.child("select") or node).place.problem(str(error)))
    return found


def _selected(environment: EnvironmentSpec, selection: Selection) -> bool:
    return (
        (not selection.environments or environment.name in selection.environments)
        and (not selection.groups or not set(selection.groups).isdisjoint(environment.groups))
        and selection.labels.items() <= environment.labels.items()
    )
