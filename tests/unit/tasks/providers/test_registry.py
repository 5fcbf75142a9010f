from __future__ import annotations

import pytest

from config.fleet import EnvironmentSpec
from config.providers import registry as declared
from tasks import errors
from tasks.providers import registry


def test_every_declared_provider_is_known() -> None:
    assert registry.known().keys() == declared.models().keys()
    assert {name: provider.name for name, provider in registry.known().items()} == {
        name: name for name in registry.known()
    }


def test_get() -> None:
    environment = EnvironmentSpec.model_validate(
        {"name": "a", "provider": {"name": "existing", "address": "b"}, "ssh": {"key": "env:KEY"}}
    )
    unknown = environment.model_copy(update={"provider": environment.provider.model_copy(update={"name": "moon"})})

    assert registry.get(environment) is registry.known()["existing"]
    with pytest.raises(errors.ConfigurationError, match="this worker knows no provider `moon`"):
        registry.get(unknown)
