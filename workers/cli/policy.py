"""The options that say how a rollout goes, laid over the policy of the fleet file."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from config.fleet import Fleet
from config.rollout import Policy
from tasks.errors import Kind
from workers import verbs
from workers.cli.choosing import STEPS

_KINDS = tuple(map(str, Kind))
_AMOUNT = re.compile(r"[0-9]{1,7}|(100|[1-9]?[0-9])%")


@dataclass(frozen=True)
class PolicyFlags:
    """What the operator says on the command line; None: as the fleet file does."""

    max_parallel: Annotated[
        int | None, typer.Option("--max-parallel", metavar="N", min=1, help="So many environments at one time.")
    ] = None
    per_provider: Annotated[
        list[str] | None,
        typer.Option("--per-provider", metavar="NAME=N", help="At most so many of a provider (repeatable)."),
    ] = None
    canary: Annotated[
        str | None,
        typer.Option("--canary", metavar="N|P%", help="So many first, and alone; then a look. 0: none."),
    ] = None
    canary_then: Annotated[
        str | None, typer.Option("--canary-then", metavar="pause|go-on", help="What follows when the canary has ended.")
    ] = None
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="N|P%", help="So many, and the next when all have ended. 0: all.")
    ] = None
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="[STEP/][KIND=]N|P%",
            help="Failures that are tolerated: `5`, `quota=1`, `opentofu-apply/quota=1` (repeatable).",
        ),
    ] = None
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="TIME", help="After it nothing new starts, as 2h.")
    ] = None

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return any(getattr(self, field.name) is not None for field in dataclasses.fields(self))

    def over(self, policy: Policy) -> Policy:
        """The policy with what was said in its place.

        Raises:
            typer.BadParameter: it cannot be used.
        """
        values = policy.model_dump(mode="json", exclude_none=True)
        for field in ("max_parallel", "deadline"):
            if (said := getattr(self, field)) is not None:
                values[field] = said
        if self.batch is not None:
            values["batch"] = _amount(self.batch, "--batch")
        if self.per_provider is not None:
            values["per_provider"] = dict(_pair(text) for text in self.per_provider)
        values |= self._canary(values.get("canary")) | self._budget()
        return _checked(values)

    def _canary(self, before: Any) -> dict[str, Any]:
        if self.canary is None and self.canary_then is None:
            return {}
        if self.canary is None and before is None:
            raise typer.BadParameter("there is no canary: say --canary too", param_hint="--canary-then")
        found = dict(before or {})
        found |= {} if self.canary is None else {"size": _amount(self.canary, "--canary")}
        return {"canary": found | ({} if self.canary_then is None else {"then": self.canary_then})}

    def _budget(self) -> dict[str, Any]:
        """A budget that is said takes the place of the file's, whole."""
        if self.budget is None:
            return {}
        rules = [_rule(text) for text in self.budget]
        plain = [rule["failures"] for rule in rules if len(rule) == 1]
        if len(plain) > 1:
            raise typer.BadParameter("one number for all failures is enough", param_hint="--budget")
        in_all = {"failures": plain[0]} if plain else {}
        return {"budget": in_all | {"limits": [rule for rule in rules if len(rule) > 1]}}


@dataclass(frozen=True)
class OnwardFlags:
    """What the operator changes of a paused rollout's policy; None: as it was. Its waves cannot be changed."""

    max_parallel: Annotated[
        int | None,
        typer.Option("--max-parallel", metavar="N", min=1, help="From now on so many environments at one time."),
    ] = None
    per_provider: Annotated[
        list[str] | None,
        typer.Option(
            "--per-provider",
            metavar="NAME=N",
            help="From now on at most so many of a provider, in place of all such limits (repeatable).",
        ),
    ] = None
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="[STEP/][KIND=]N|P%",
            help="Failures that are tolerated from now on, in place of the whole budget: "
            "`5`, `quota=1`, `opentofu-apply/quota=1` (repeatable).",
        ),
    ] = None
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="TIME", help="So long from now nothing new starts, as 2h.")
    ] = None

    def policy(self) -> Policy:
        """A policy with what was said, and nothing else.

        Raises:
            typer.BadParameter: it cannot be used.
        """
        return PolicyFlags(**dataclasses.asdict(self)).over(Policy())


def warnings(fleet: Fleet) -> tuple[str, ...]:
    """The schedules whose every firing would wait for an operator, and what to do about it."""
    return tuple(
        f"schedule {each.name}: each firing pauses when its canary has ended, until `stepmark rollout resume`:"
        " say `then: go-on` in `rollout.canary`"
        for each in fleet.schedules
        if each.select and (canary := verbs.policy(each.workflow, fleet.rollout).canary) and canary.then == "pause"
    )


def _rule(text: str) -> dict[str, Any]:
    """`5`, `5%`, `KIND=1`, `STEP=1` or `STEP/KIND=1` as a limit of a budget."""
    what, _, amount = text.rpartition("=")
    found: dict[str, Any] = {}
    for word in filter(None, what.split("/")):
        key = "kind" if word in _KINDS else "step" if word in STEPS else None
        if key is None or key in found:
            known = f"kinds are {', '.join(_KINDS)}; steps are {', '.join(STEPS)}"
            raise typer.BadParameter(f"{word!r} is no step and no kind: {known}", param_hint="--budget")
        found[key] = word
    return {**found, "failures": _amount(amount, "--budget")}


def _amount(text: str, option: str) -> int | str:
    if not _AMOUNT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is neither a number nor a part as 5%, up to 100%", param_hint=option)
    return text if text.endswith("%") else int(text)


def _pair(text: str) -> tuple[str, int | str]:
    name, separator, number = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not NAME=N", param_hint="--per-provider")
    return name, _amount(number, "--per-provider")


def _checked(values: dict[str, Any]) -> Policy:
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = str(first["loc"][0]).replace("_", "-")
        raise typer.BadParameter(first["msg"], param_hint=f"--{where}") from error
