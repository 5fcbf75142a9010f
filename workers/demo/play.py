"""Play: what the demo does, one act after another, with the same commands that an operator types."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import fleet as fleets
from config import settings as settings_module
from config.fleet import Fleet
from tasks.adapters import children
from tasks.providers import registry
from tasks.sandbox import api
from tasks.sandbox.model import HostKind, Say, Spec
from workers.demo import hosts, surroundings
from workers.demo.surroundings import Surroundings

_FAILS = "web-3"
_PARTLY = 5
_SHIPPED = Path(__file__).with_name("demo.yaml")
_CHECKOUT = Path(__file__).parents[2] / "examples" / "demo.yaml"


@dataclass(frozen=True)
class Wishes:
    """What the operator wants of the demo.

    mend: is asked after the failure, whether to mend it and resume. may_install: is asked for packages.
    output: the file descriptor for what the commands print; None: standard output.
    """

    mend: Callable[[], bool]
    may_install: Callable[[tuple[str, ...]], bool]
    keep: bool
    say: Say
    redis_url: str | None = None
    output: int | None = None


class Play:
    """One showing of the demo."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._say = wishes.say
        self.statuses: dict[str, int] = {}

    def perform(self) -> dict[str, Any]:
        """Show it all. What it came to: `kind`, `provisioned`, `statuses` of the commands, `well`: as it should be.

        Raises:
            ConfigurationError, SandboxError: this machine cannot show it.
            KeyboardInterrupt: the operator has ended it; everything is removed.
        """
        settings = settings_module.load()
        chosen = hosts.kind(self._wishes.may_install, self._say)
        fleet = fleets.load(_file())
        self._introduce(chosen, fleet)
        provisioned = hosts.provisioning(settings)
        if not provisioned:
            self._say(hosts.missing_tofu())
        api.ensure_root(chosen, Spec.model_fields["roots"].default, self._say)
        self._say("Starting Redis and the workers …")
        with surroundings.made(self._wishes.redis_url, keep=self._wishes.keep, remove=self._remove) as around:
            try:
                self._acts(around, fleet, None if provisioned else chosen)
            except KeyboardInterrupt:
                self._say("\nInterrupted: ending the workers, removing the hosts …")
                raise
            if self._wishes.keep:
                self._leave(around, fleet)
        return {"kind": chosen.value, "provisioned": provisioned, "statuses": self.statuses, "well": self._well()}

    def _remove(self, sandbox: Path) -> None:
        hosts.remove(sandbox, self._say)

    def _introduce(self, chosen: HostKind, fleet: Fleet) -> None:
        environment = fleet.environments[0]
        lacks = registry.get(environment).lacks(environment)
        cannot = "; ".join(f"{need.value} ({reason})" for need, reason in lacks.items()) or "nothing"
        self._say(f"This demo uses {chosen.value} hosts on this machine. What they cannot do: {cannot}.")

    def _acts(self, around: Surroundings, fleet: Fleet, start_first: HostKind | None) -> None:
        names = [environment.name for environment in fleet.environments]
        file = str(fleet.path)
        if start_first is None:
            self._stepmark(around, "up", file)
        else:
            self._register(around, fleet, start_first)
        self._say(f"\n{_FAILS} failed on purpose: nothing answers at its SSH port. What is known of it:")
        self._stepmark(around, "show", _FAILS)
        self._say(f"\nOnce the cause is mended, `stepmark resume {_FAILS}` goes on from that step.")
        if self._wishes.mend():
            self._say(f"\nOpening the port of {_FAILS} …")
            hosts.open_port(around.sandbox, _FAILS)
            self._stepmark(around, "resume", _FAILS)
            if start_first:
                self._stepmark(around, "configure", file, "--env", _FAILS)
            self._stepmark(around, "status")
        if not self._wishes.keep:
            self._say("\nDestroying the hosts:")
            self._stepmark(around, "destroy", "--yes", *names)

    def _register(self, around: Surroundings, fleet: Fleet, kind: HostKind) -> None:
        """Without OpenTofu: the hosts are started, registered, and those that let us in are configured."""
        hosts.start(fleet.environments, kind, around, self._say)
        file = str(fleet.path)
        self._stepmark(around, "register", file)
        good = [part for each in fleet.environments if each.name != _FAILS for part in ("--env", each.name)]
        self._stepmark(around, "configure", file, *good)

    def _stepmark(self, around: Surroundings, *words: str) -> None:
        """Run `stepmark` as an operator would; Ctrl-C reaches it, then ends the demo."""
        self._say(f"\n$ stepmark {shlex.join(words)}")
        argv = (sys.executable, "-m", "workers.cli", *words)
        child = children.start(argv, around.environment, output=self._wishes.output)
        try:
            status = child.wait()
        except BaseException:
            child.send_signal(signal.SIGINT)
            child.wait()
            raise
        self.statuses[words[0]] = status

    def _well(self) -> bool:
        first = self.statuses.get("up", self.statuses.get("register"))
        others = {verb: status for verb, status in self.statuses.items() if verb not in ("up", "register")}
        return first == _PARTLY and not any(others.values())

    def _leave(self, around: Surroundings, fleet: Fleet) -> None:
        names = " ".join(environment.name for environment in fleet.environments)
        self._say("\nEverything is left running. In a shell:")
        for line in around.exports():
            self._say(f"  {line}")
        self._say(f"and to end it: stepmark destroy --yes {names}; {around.ending()}")


def _file() -> Path:
    """The fleet file: in an installation beside this module, in a checkout among the examples."""
    return _SHIPPED if _SHIPPED.exists() else _CHECKOUT
