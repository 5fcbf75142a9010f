"""Where OpenTofu runs: the program, its environment, and one command in one folder. https://opentofu.org/docs/cli/."""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import json
import shlex
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from tasks import errors
from tasks.adapters import process, templates, tofu_report
from tasks.adapters.process import Command, Completed, Session
from tasks.adapters.tofu_report import Report
from tasks.adapters.tofu_states import NO_ORPHANS, Orphans

_LOCK_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Folder:
    """A root module on disk, and what it takes to run OpenTofu there.

    binary: a path. data: files that all folders of this worker share. mirror: of providers, instead of the network.
    env: how to reach the state (`TF_HTTP_*`), and the secret variables (`TF_VAR_*`). orphans: of that state.
    boot: the address of a resource that may be replaced without leave, or empty.
    """

    path: Path
    binary: str
    data: Path
    mirror: Path | None
    session: Session
    env: Mapping[str, str]
    orphans: Orphans = NO_ORPHANS
    boot: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said. `tail`: its last lines as people read them, redacted."""

    completed: Completed
    report: Report
    tail: str
    session: Session

    def error(self) -> errors.ToolError:
        """The error that this outcome is, if it is one."""
        kind, diagnostic = tofu_report.kind(self.report)
        argv, status = self.completed.command.argv, self.completed.exit_status
        verb = " ".join(itertools.takewhile(lambda word: not word.startswith("-"), argv[1:]))
        reason = diagnostic.line if diagnostic else f"it ended with {status} and said nothing"
        summary = self.session.redact(" ".join(f"{program(argv[0])} {verb}: {reason}".split()))
        return kind(summary, shlex.join(argv), status, self.tail)


def program(binary: str) -> str:
    """What a program is called, for people: `tofu` or `terraform`."""
    return Path(binary).name


def open_folder(
    path: Path, settings: Settings, session: Session, env: Mapping[str, str], orphans: Orphans = NO_ORPHANS
) -> Folder:
    """The root module at `path`, to be run with the program that the settings name.

    Raises:
        ToolMissingError: there is no such program here.
    """
    mirror = settings.plugin_mirror.expanduser() if settings.plugin_mirror else None
    program, data = binary(settings.tofu_binary), settings.data_dir.expanduser()
    return Folder(path, program, data, mirror, session, env, orphans)


def binary(named: str | None) -> str:
    """The path of the program: the one that is named, else `tofu`, else `terraform`.

    Raises:
        ToolMissingError: there is none of them.
    """
    wanted = (named,) if named else ("tofu", "terraform")
    for name in wanted:
        if found := shutil.which(name):
            return found
    raise errors.ToolMissingError(f"{' or '.join(wanted)} is not on this worker's PATH")


def attempt(folder: Folder, *arguments: str, quiet: bool = False) -> Outcome:
    """Run one command to its end, whatever that is. quiet: its output holds values, and is kept out of the log.

    Raises: as `process.run` does; the errors' output is what people read.
    """
    said: deque[str] = deque(maxlen=50)
    redact = folder.session.redact

    def write(line: str) -> None:
        # Again: a secret with a quote in it looks different inside JSON.
        for text in redact(tofu_report.readable(line)).splitlines():
            said.append(text)
            if not quiet:
                folder.session.write(text)

    session = dataclasses.replace(folder.session, write=write)
    command = Command((folder.binary, *arguments), folder.path, env=_environment(folder))
    try:
        completed = process.run(command, session)
    except errors.ToolError as error:  # it was ended: at a deadline, by an operator, without its guard
        # Its own tail is the JSON; people are shown what the log shows.
        raise type(error)(error.summary, error.command, error.exit_status, "\n".join(said)) from error
    report = tofu_report.parse(completed.stdout, completed.stderr)
    return Outcome(completed, report, "\n".join(said), folder.session)


def run(folder: Folder, *arguments: str, quiet: bool = False, good: tuple[int, ...] = (0,)) -> Outcome:
    """Run one command that must end with one of the `good` exit statuses.

    Raises:
        InfrastructureError, FileSystemError, StateError, QuotaError, AuthenticationError: it did not; by what it said.
        DeadlineError, LeaseLostError, ToolMissingError: as `process.run` does.
    """
    outcome = attempt(folder, *arguments, quiet=quiet)
    if outcome.completed.exit_status not in good:
        raise outcome.error()
    return outcome


@contextmanager
def downloading(folder: Folder) -> Iterator[None]:
    """Alone on this machine while the block runs: the shared plugin cache takes only one writer at a time.

    Raises:
        DeadlineError: the others did not finish before the session's deadline.
        LeaseLostError: the lifeline was cut meanwhile.
    """
    folder.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder.data / "tofu-plugins.lock").open("w") as file:
        while not _locked(file.fileno()):
            if time.monotonic() >= folder.session.deadline:
                whose = f"{program(folder.binary)} init"
                raise errors.DeadlineError(f"{whose}: another one on this worker held the plugin cache for too long")
            folder.session.lifeline.wait(_LOCK_POLL_SECONDS)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _environment(folder: Folder) -> dict[str, str]:
    cache = folder.data / "tofu-plugins"
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = {
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "TF_PLUGIN_CACHE_DIR": str(cache),
        "TF_CLI_CONFIG_FILE": str(_cli_config(folder)),
    }
    return {**ours, **folder.env}


def _cli_config(folder: Folder) -> Path:
    """Where providers come from: https://opentofu.org/docs/cli/config/config-file/ (in its JSON form)."""
    config: dict[str, object] = {}
    if folder.mirror is not None:
        config["provider_installation"] = [{"filesystem_mirror": [{"path": str(folder.mirror)}]}]
    path = folder.data / "tofu.tfrc.json"
    text = json.dumps(config) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        templates.write(path, text)
    return path
