"""How a step logs in to its host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tasks import errors
from tasks.adapters import remote_scope, scratch, ssh
from tasks.context import StepContext
from tasks.facts import Facts


@contextmanager
def target(facts: Facts, context: StepContext) -> Iterator[ssh.Target]:
    """The host as it is known so far, and the files that the login needs while the block lasts."""
    declared = context.environment.ssh
    if facts.address is None:
        raise errors.ConfigurationError("the host's address is not known yet")
    with (
        ssh.identity(declared.key, context.session.redact) as identity,
        scratch.short_folder("login") as folder,
    ):
        known_hosts = folder / "known_hosts"
        ssh.pin(known_hosts, facts.host_key)
        port = facts.ssh_port or declared.port
        scope = remote_scope.parse(facts.scope_name or context.environment.name, context.scope)
        yield ssh.Target(facts.address, port, declared.user, identity, known_hosts, scope)
