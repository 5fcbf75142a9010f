from __future__ import annotations

from collections.abc import Callable

from config import example
from config.fleet import Fleet
from tasks import fleetcheck


def test_loads(load: Callable[[str], Fleet]) -> None:
    fleet = load(example.text())

    names = [(environment.name, environment.provider.name) for environment in fleet.environments]
    assert names == [("web-1", "hetzner"), ("staging", "lxd"), ("office", "existing")]
    assert fleetcheck.check(fleet) == ()
