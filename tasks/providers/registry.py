"""The provider of an environment: found in the modules beside this file, so a new provider is a new module."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from config.fleet import EnvironmentSpec
from tasks import errors, providers
from tasks.providers.base import Provider

# What is beside the providers and is none.
_OTHERS = frozenset({"base", "registry"})


def get(environment: EnvironmentSpec) -> Provider:
    """The provider that an environment's host comes from.

    Raises:
        ConfigurationError: this worker knows no provider of that name.
    """
    name = str(environment.provider.name)
    try:
        return known()[name]
    except KeyError:
        raise errors.ConfigurationError(f"this worker knows no provider `{name}`: is it an older version?") from None


@lru_cache(maxsize=1)
def known() -> Mapping[str, Provider]:
    """All providers, by name."""
    modules = (
        importlib.import_module(f"{providers.__name__}.{found.name}")
        for found in pkgutil.iter_modules(providers.__path__)
        if found.name not in _OTHERS
    )
    found: tuple[Provider, ...] = tuple(module.PROVIDER for module in modules)
    return MappingProxyType({provider.name: provider for provider in found})
