import re
from pathlib import Path

import pytest

from config.fleet import EnvironmentSpec
from config.providers.sandbox.model import Sandbox
from tasks import errors
from tasks.providers import sandbox
from tasks.providers.base import Found, Need
from tasks.sandbox import ladder, store
from tasks.sandbox.ladder import Ladder
from tasks.sandbox.model import HostKind, Spec

PROVIDER = sandbox.PROVIDER
TEMPLATES = Path(sandbox.__file__).parents[2] / "config/providers/sandbox/templates"


def environment(directory: Path, host: str = "light") -> EnvironmentSpec:
    provider = {"name": "sandbox", "host": host, "directory": str(directory)}
    return EnvironmentSpec.model_validate({"name": "web-1", "provider": provider, "ssh": {"key": "env:KEY"}})


def test_the_variables_are_those_that_the_templates_declare(tmp_path: Path) -> None:
    declared = set(re.findall(r'^variable "(\w+)"', (TEMPLATES / "variables.tf").read_text(), re.MULTILINE))

    given = PROVIDER.variables(environment(tmp_path))

    assert given.keys() | {"name", "user_data"} == declared
    assert given["kind"] == "light"
    assert given["directory"] == str(tmp_path)


def test_the_address_stays(tmp_path: Path) -> None:
    first = PROVIDER.variables(environment(tmp_path))

    assert PROVIDER.variables(environment(tmp_path)) == first


@pytest.mark.parametrize(
    ("host", "lacks"),
    [
        ("light", {Need.SERVICES, Need.CONTAINERS}),
        ("rootless", {Need.SERVICES, Need.CONTAINERS, Need.PACKAGES, Need.FIREWALL}),
        ("full", set()),
    ],
)
def test_lacks(tmp_path: Path, host: str, lacks: set[Need]) -> None:
    found = PROVIDER.lacks(environment(tmp_path, host))

    assert found.keys() == lacks
    assert all(host in reason for reason in found.values())


def test_a_machine_that_can_make_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "look", lambda: Ladder(()))
    sandbox._kind.cache_clear()

    with pytest.raises(errors.ConfigurationError, match="neither light nor rootless"):
        PROVIDER.lacks(environment(tmp_path, "auto"))


def test_find_looks_in_the_sandbox(tmp_path: Path) -> None:
    context = object()  # not asked for anything
    assert PROVIDER.find(environment(tmp_path), context) is None  # type: ignore[arg-type]
    store.save(Spec(name="web-1", kind=HostKind.LIGHT, directory=tmp_path), "127.1.2.3")

    found = PROVIDER.find(environment(tmp_path), context)  # type: ignore[arg-type]

    assert found == Found("127.1.2.3", "web-1", importable=False, stopped=True)


def test_unset_the_directory_is_in_the_workers_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPMARK_DATA_DIR", str(tmp_path))

    assert sandbox._directory(Sandbox(name="sandbox")) == tmp_path / "sandbox"
