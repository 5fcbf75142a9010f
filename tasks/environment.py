"""The states of an environment and the table of moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

# What a look for drift says of a host that the state knows, and of which no plan tells.
STOPPED = "does not run"
MISSING = "the provider has no such host"


class State(StrEnum):
    """Where an environment is in its life."""

    CREATED = "created"
    PROVISIONING = "provisioning"
    PROVISIONED = "provisioned"
    PROVISION_FAILED = "provision-failed"
    REGISTERING = "registering"
    REGISTER_FAILED = "register-failed"
    CONFIGURING = "configuring"
    CONFIGURED = "configured"
    CONFIGURE_FAILED = "configure-failed"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    DESTROY_FAILED = "destroy-failed"
    CHECKING = "checking"


_S = State

_MADE = frozenset({_S.PROVISIONED, _S.PROVISION_FAILED, _S.CONFIGURED, _S.CONFIGURE_FAILED})

# A repeated provision or configure is allowed: both converge, and a plan that would destroy is refused on its own.
# A look for drift goes back to where it came from.
MOVES: Mapping[State, frozenset[State]] = {
    _S.CREATED: frozenset({_S.PROVISIONING, _S.REGISTERING, _S.DESTROYING}),
    _S.PROVISIONING: frozenset({_S.PROVISIONED, _S.PROVISION_FAILED}),
    _S.PROVISIONED: frozenset({_S.PROVISIONING, _S.REGISTERING, _S.CONFIGURING, _S.DESTROYING, _S.CHECKING}),
    _S.PROVISION_FAILED: frozenset({_S.PROVISIONING, _S.DESTROYING, _S.CHECKING}),
    _S.REGISTERING: frozenset({_S.PROVISIONED, _S.REGISTER_FAILED}),
    _S.REGISTER_FAILED: frozenset({_S.REGISTERING, _S.DESTROYING}),
    _S.CONFIGURING: frozenset({_S.CONFIGURED, _S.CONFIGURE_FAILED}),
    _S.CONFIGURED: frozenset({_S.PROVISIONING, _S.REGISTERING, _S.CONFIGURING, _S.DESTROYING, _S.CHECKING}),
    _S.CONFIGURE_FAILED: frozenset({_S.PROVISIONING, _S.REGISTERING, _S.CONFIGURING, _S.DESTROYING, _S.CHECKING}),
    _S.DESTROYING: frozenset({_S.DESTROYED, _S.DESTROY_FAILED}),
    _S.DESTROYED: frozenset({_S.PROVISIONING, _S.REGISTERING}),
    _S.DESTROY_FAILED: frozenset({_S.DESTROYING}),
    _S.CHECKING: _MADE,
}


def sources(target: State) -> tuple[State, ...]:
    """The states from which `target` may be entered."""
    return tuple(state for state in State if target in MOVES[state])
