from __future__ import annotations

from collections.abc import Callable

from config.fleet import EnvironmentSpec
from tasks.context import StepContext
from tasks.providers.base import Found, Need
from tasks.providers.existing import PROVIDER

ENVIRONMENT = EnvironmentSpec.model_validate(
    {"name": "office", "provider": {"name": "existing", "address": "192.0.2.7"}, "ssh": {"key": "env:KEY"}}
)


def test_is_registered_not_provisioned() -> None:
    assert PROVIDER.lacks(ENVIRONMENT) == {Need.PROVISIONING: "the host already exists: use `stepmark register`"}
    assert (PROVIDER.variables(ENVIRONMENT), PROVIDER.secrets(ENVIRONMENT)) == ({}, {})


def test_find(context: Callable[[EnvironmentSpec], StepContext]) -> None:
    assert PROVIDER.find(ENVIRONMENT, context(ENVIRONMENT)) == Found("192.0.2.7", "192.0.2.7")
