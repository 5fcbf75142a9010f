from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config import fleet
from config.errors import SelectionError
from config.fleet import EnvironmentSpec, Fleet, SecretRef, Selection, Ssh
from config.parameters import Compose, Docker, Firewall, Parameters, SecurityUpdates
from config.providers.existing.model import Existing
from config.providers.hetzner.model import Hetzner

LAYERED = """
defaults:
  provider: {name: hetzner, token: env:TOKEN, image: debian-12}
  ssh: {user: admin, key: file:keys/id}
  labels: {stage: test, owner: ops}
  parameters:
    docker: {packages: [docker.io]}
    firewall: {allow: [1/tcp]}
groups:
  web:
    labels: {stage: production}
    provider: {image: ubuntu-24.04, location: fsn1}
    parameters:
      firewall: {allow: [80/tcp, 443/tcp]}
  slow:
    provider: {location: hel1}
    parameters:
      security_updates: {reboot_time: null}
environments:
  - name: web-1
    groups: [web, slow]
    ssh: {port: 2222}
    labels: {owner: me}
  - name: office
    provider: {name: existing, address: 192.0.2.7}
"""


def test_layers(load: Callable[[str], Fleet], tmp_path: Path) -> None:
    """Defaults, then groups in order, then the environment; lists are replaced, another provider starts afresh."""
    key = SecretRef(reference=f"file:{tmp_path}/keys/id")

    assert load(LAYERED).environments == (
        EnvironmentSpec(
            name="web-1",
            provider=Hetzner(
                name="hetzner", token=SecretRef(reference="env:TOKEN"), image="ubuntu-24.04", location="hel1"
            ),
            ssh=Ssh(user="admin", port=2222, key=key),
            labels={"stage": "production", "owner": "me"},
            groups=("web", "slow"),
            parameters=Parameters(
                docker=Docker(packages=("docker.io",)),
                firewall=Firewall(allow=("80/tcp", "443/tcp")),
                security_updates=SecurityUpdates(reboot_time=None),
            ),
        ),
        EnvironmentSpec(
            name="office",
            provider=Existing(name="existing", address="192.0.2.7"),
            ssh=Ssh(user="admin", key=key),
            labels={"stage": "test", "owner": "ops"},
            parameters=Parameters(firewall=Firewall(allow=("1/tcp",))),
        ),
    )


def test_a_layer_may_be_incomplete(load: Callable[[str], Fleet]) -> None:
    """What one key needs of another may come from another layer."""
    text = f"""
defaults:
  ssh: {{key: env:KEY}}
  provider: {{name: existing}}
  parameters: {{compose: {{method: download}}}}
groups:
  known: {{parameters: {{compose: {{url: "https://example.com/{{arch}}", sha256: {{x86_64: "{"0" * 64}"}}}}}}}}
environments:
  - {{name: a, groups: [known], provider: {{address: b}}}}
"""

    (environment,) = load(text).environments

    assert environment.parameters.compose == Compose(
        method="download", url="https://example.com/{arch}", sha256={"x86_64": "0" * 64}
    )


def test_round_trip(load: Callable[[str], Fleet]) -> None:
    """What is kept in Redis is what was declared, with references for secrets; paths in it are not moved again."""
    for environment in load(LAYERED).environments:
        kept = environment.model_dump_json()

        assert EnvironmentSpec.model_validate_json(kept) == environment
        assert '"key":"file:/' in kept


def test_defaults_of_ssh(load: Callable[[str], Fleet]) -> None:
    text = "environments: [{name: a, provider: {name: existing, address: b}, ssh: {key: env:KEY}}]"

    assert load(text).environments[0].ssh == Ssh(user="root", port=22, key=SecretRef(reference="env:KEY"))


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), ["web-1", "office"]),
        (Selection(environments=("office",)), ["office"]),
        (Selection(groups=("slow", "web")), ["web-1"]),
        (Selection(labels={"stage": "test"}), ["office"]),
        (Selection(labels={"stage": "production", "owner": "me"}), ["web-1"]),
        (Selection(environments=("office", "web-1"), groups=("web",)), ["web-1"]),
    ],
)
def test_select(load: Callable[[str], Fleet], selection: Selection, names: list[str]) -> None:
    assert [environment.name for environment in load(LAYERED).select(selection)] == names


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(environments=("wbe-1",)), "no environment is called `wbe-1`; did you mean `web-1`?"),
        (Selection(groups=("db",)), "no group is called `db`; known: slow, web"),
        (Selection(labels={"stage": "none"}), "no environment is selected: no one has all that is asked for"),
        (
            Selection(environments=("office",), groups=("web",)),
            "no environment is selected: no one has all that is asked for",
        ),
    ],
)
def test_select_nothing(load: Callable[[str], Fleet], selection: Selection, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        load(LAYERED).select(selection)

    assert str(caught.value) == message


names = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200)
labels = st.dictionaries(st.from_regex(r"\A[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?\Z"), texts, max_size=4)
ports = st.builds("{}/{}".format, st.integers(1, 65535), st.sampled_from(["tcp", "udp"]))


@st.composite
def layers(draw: st.DrawFn, **always: Any) -> dict[str, Any]:
    """What may stand in defaults, a group or an environment."""
    optional = {
        "labels": labels,
        "ssh": st.fixed_dictionaries({}, optional={"port": st.integers(1, 65535), "user": st.just("admin")}),
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "firewall": st.fixed_dictionaries({"allow": st.lists(ports, max_size=3)}),
                "timeouts": st.dictionaries(names, st.floats(0.001, 1000), max_size=2),
            },
        ),
    }
    return {**draw(st.fixed_dictionaries({}, optional=optional)), **always}


class Quoted(yaml.SafeDumper):
    """Quotes all text: bare, a label such as 08 is none."""


Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """A nested mapping as one of paths; what the merge of layers is, said another way."""
    if not isinstance(value, dict):
        return {path: value}
    return {key: leaf for name, child in value.items() for key, leaf in flat(child, (*path, name)).items()}


@settings(deadline=None)  # it writes files, on machines that do other things too
@given(layers(), layers(), layers(), layers(), st.permutations(["a", "b"]))
def test_any_layers(
    tmp_path_factory: pytest.TempPathFactory,
    defaults: dict[str, Any],
    group_a: dict[str, Any],
    group_b: dict[str, Any],
    own: dict[str, Any],
    order: list[str],
) -> None:
    """Each leaf is that of the last layer that has it, and the result survives JSON."""
    groups = {"a": group_a, "b": group_b}
    provider = {"name": "existing", "address": "192.0.2.7"}
    environment = {"name": "web-1", "groups": order, "provider": provider, **own}
    defaults = {**defaults, "ssh": {**defaults.get("ssh", {}), "key": "env:KEY"}}
    path = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    document = {"defaults": defaults, "groups": groups, "environments": [environment]}
    path.write_text(yaml.dump(document, Dumper=Quoted, allow_unicode=True), encoding="utf-8")

    (made,) = fleet.load(path).environments

    layered = [defaults, *(groups[name] for name in order), environment]
    expected = {key: leaf for layer in layered for key, leaf in flat(layer).items()}
    found = flat(made.model_dump(mode="json"))
    assert {key: found[key] for key in expected} == expected
    assert EnvironmentSpec.model_validate_json(made.model_dump_json()) == made
