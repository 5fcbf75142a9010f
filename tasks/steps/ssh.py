"""The steps that wait for a host: until it lets us in, and until its cloud-init has ended."""

from __future__ import annotations

from tasks.adapters import cloud_init_status, ssh, ssh_wait
from tasks.context import StepContext
from tasks.facts import Facts
from tasks.providers import registry
from tasks.providers.base import Need
from tasks.result import Ending, Result
from tasks.steps import login
from tasks.steps.registry import step


@step("ssh.wait")
def wait(facts: Facts, context: StepContext) -> Result:
    """Wait until a command runs on the host. Learns `ssh_attempts`, and `host_key` where none was given.

    Of a host that was not made by OpenTofu it learns `address` too: its provider knows it.
    """
    facts = _addressed(facts, context)
    with login.target(facts, context) as target:
        attempts = dict(ssh_wait.wait(target, context.session))
        update: dict[str, object] = {"ssh_attempts": attempts}
        if facts.host_key is None:
            update |= {"host_key": ssh.pinned(target.known_hosts), "host_key_source": "first-use"}
    note = f"{_several(sum(attempts.values()), 'attempt')}: {ssh_wait.counts(attempts)}"
    return Result(facts.model_copy(update=update), note=note)


@step("cloudinit.wait")
def cloud_init_wait(facts: Facts, context: StepContext) -> Result:
    """Wait until cloud-init has ended. Learns `cloud_init`; a host that has none is told of, and passes."""
    with login.target(facts, context) as target:
        found = cloud_init_status.wait(target, context.session)
    if found is None:
        return Result(facts, Ending.SKIPPED, "the host has no cloud-init")
    facts = facts.model_copy(update={"cloud_init": found})
    if found.status == "disabled":
        return Result(facts, Ending.SKIPPED, "cloud-init is disabled on the host")
    note = f"{_several(len(found.errors), 'warning')}: {found.errors[0]}" if found.errors else ""
    return Result(facts, note=note or found.status)


def _addressed(facts: Facts, context: StepContext) -> Facts:
    provider = registry.get(context.environment)
    if facts.address is not None and Need.PROVISIONING not in provider.lacks(context.environment):
        return facts
    found = provider.find(context.environment, context)
    return facts.model_copy(update={"address": found.address}) if found else facts


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
