"""StepContext: what a step is given beside the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from config.fleet import EnvironmentSpec
from config.settings import Settings
from tasks.adapters.process import Session
from tasks.adapters.tofu_states import NO_ORPHANS, Orphans


@dataclass(frozen=True)
class Options:
    """What the operator allowed or asked for this run.

    nothing_made: the operator has looked: an apply whose outcome is not known has made no host.
    """

    allow_destroy: bool = False
    nothing_made: bool = False


@dataclass(frozen=True)
class StepContext:
    """One step's surroundings.

    environment: as declared. workspace: a private directory (0700) with the environment's files; what the step changes
    there (all but `.terraform/`) is kept, encrypted, and is there for the next step on whichever worker.
    session: leave to run programs, with the step's deadline, log and redactor.
    state: opens the OpenTofu state; gives the TF_HTTP_* variables that reach it while the `with` block lasts.
    scope: `RUN.EPOCH`, under which its commands run on the host; of two scopes of an environment the greater is later.
    orphans: OpenTofu states of this environment that came without the lock.
    uncertain: an execution of this step was ended before it could say what it had done; nobody knows.
    """

    environment: EnvironmentSpec
    workspace: Path
    settings: Settings
    session: Session
    options: Options
    state: Callable[[], AbstractContextManager[Mapping[str, str]]]
    scope: str = ""
    uncertain: bool = False
    orphans: Orphans = NO_ORPHANS
