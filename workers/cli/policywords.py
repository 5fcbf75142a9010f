"""A rollout's policy in words, field by field: of a fleet file or a schedule, and of a rollout, which has numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from config.rollout import Amount, Limit, Policy
from workers.cli import words
from workers.rolloutrecord import RolloutRecord, Rule

_NOTHING = {
    "per_provider": "no limit by provider",
    "canary": "no canary",
    "batch": "no batches",
    "budget": "no budget",
    "deadline": "no deadline",
}


def whole(policy: Policy | RolloutRecord) -> str:
    """All that is said of it: `50 at a time; 5% first as a canary, then a pause; 25 failures tolerated`."""
    return "; ".join(filter(None, fields(policy).values()))


def changed(field: str, old: Policy, new: Policy) -> str:
    """What changes of one of its fields: `10 at a time -> 20 at a time`, `no canary -> 1 first as a canary, …`."""
    before, after = (fields(policy)[field] or _NOTHING[field] for policy in (old, new))
    return f"{before} -> {after}"


def fields(policy: Policy | RolloutRecord) -> dict[str, str]:
    """The words of each field of a policy, by its name; empty: nothing is said."""
    if isinstance(policy, RolloutRecord):
        canary = _canary(policy.canary, policy.canary_then) if policy.canary else ""
        budget = rules(policy.rules)
        deadline = words.span(policy.deadline_seconds) if policy.deadline_seconds else ""
    else:
        canary = _canary(policy.canary.size, policy.canary.then) if policy.canary else ""
        budget, deadline = rules(policy.budget.rules), policy.deadline or ""
    return {
        "max_parallel": f"{policy.max_parallel} at a time",
        "per_provider": _limits(policy.per_provider),
        "canary": canary,
        "batch": f"in batches of {policy.batch}" if policy.batch else "",
        "budget": budget,
        "deadline": f"nothing new after {deadline}" if deadline else "",
    }


def _limits(per_provider: Mapping[str, int]) -> str:
    most = ", ".join(f"{count} of {name}" for name, count in per_provider.items())
    return f"at most {most}" if most else ""


def _canary(size: Amount, then: str | None) -> str:
    return f"{size} first as a canary, then {'a pause' if then == 'pause' else 'on if all is well'}"


def rules(found: Iterable[Limit | Rule]) -> str:
    """A budget in words."""
    return "; ".join(map(_rule, found))


def _rule(rule: Limit | Rule) -> str:
    count = f"{rule.failures} failure{'' if rule.failures == 1 else 's'}"
    if isinstance(rule.failures, str):
        count = f"failures of {rule.failures}"
    what = (rule.step and f"at {rule.step}", rule.kind and f"of kind {rule.kind}")
    return " ".join(filter(None, (count, *what, "tolerated")))
