"""What operators read when a fleet file is wrong: where, and what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import fleet
from config.errors import FleetFileError, Problem

Problems = Callable[[str], list[tuple[int, int, str, str]]]

# A whole environment, to which a case adds its fault.
GOOD = "name: a, provider: {name: existing, address: b}, ssh: {key: env:KEY}"
INHERIT = "give it here, in one of the environment's groups, or in `defaults`"
MAPPING = "must be a mapping (`key: value` lines below it)"
REFERENCE = "write where the secret is, `env:NAME` or `file:PATH`, never the secret itself"


@pytest.mark.parametrize(
    ("part", "line_path_message"),
    [
        ("ssh: {key: env:K, prot: 1}", ("ssh.prot", "is not a known key; did you mean `port`?")),
        ("sssh: {}", ("sssh", "is not a known key; did you mean `ssh`?")),
        ("zzz: {}", ("zzz", "is not a known key; known: groups, labels, name, parameters, provider, ssh")),
        ("ssh: {key: env:K, port: '22'}", ("ssh.port", "must be a whole number")),
        ("ssh: {key: env:K, port: 70000}", ("ssh.port", "must be less than or equal to 65535")),
        ("ssh: [22]", ("ssh", MAPPING)),
        ("ssh: {key: AAAAB3Nz}", ("ssh.key", REFERENCE)),
        ("ssh: {key: 7}", ("ssh.key", REFERENCE)),
        ("ssh: {key: 'env:'}", ("ssh.key", REFERENCE)),
        ("ssh: {key: env:K, user: Root}", ("ssh.user", "must be a-z, 0-9, `_` and `-`, a letter or `_` first")),
        ("labels: {stage: 1}", ("labels.stage", "must be text: put it in quotes")),
        (
            "labels: {Stage: x}",
            ("labels.Stage", "must be a-z, 0-9 and `.` `_` `/` `-`, a letter or digit first and last"),
        ),
        ('labels: {stage: "a\\nb"}', ("labels.stage", "must be one line without control characters")),
        ("groups: web", ("groups", "must be a list")),
        ("groups: [web]", ("groups[0]", "is no group of this file")),
        ("provider: {name: hetznr}", ("provider", "has no provider called `hetznr`; did you mean `hetzner`?")),
        (
            "provider: {name: existing, address: b, adress: c}",
            ("provider.adress", "is not a known key; did you mean `address`?"),
        ),
        ("provider: {name: existing, address: 'a b'}", ("provider.address", "must be an IP address or host name")),
        ("provider: {name: hetzner, token: abc123}", ("provider.token", REFERENCE)),
        ("provider: {name: hetzner, token: env:T, backups: 'yes'}", ("provider.backups", "must be true or false")),
        ("provider: {name: lxd, cpus: 1.5}", ("provider.cpus", "must be a whole number")),
        ("provider: {name: lxd, type: vm}", ("provider.type", "must be 'container' or 'virtual-machine'")),
        ("parameters: {firewall: {allow: [80]}}", ("parameters.firewall.allow[0]", "must be text: put it in quotes")),
        (
            "parameters: {firewall: {allow: [1/tcp, 65536/tcp]}}",
            ("parameters.firewall.allow[1]", "must be a port from 1 to 65535 with its protocol, as 80/tcp"),
        ),
        (
            "parameters: {security_updates: {reboot_time: 24:00}}",
            ("parameters.security_updates.reboot_time", "must be a time as 02:00, in quotes"),
        ),
        (
            "parameters: {docker: {packages: ['-y']}}",
            ("parameters.docker.packages[0]", "must be the name of a package"),
        ),
        ("parameters: {timeouts: {opentofu-init: 0}}", ("parameters.timeouts.opentofu-init", "must be greater than 0")),
        ("parameters: {timeouts: {opentofu-init: .inf}}", ("parameters.timeouts.opentofu-init", "must be a number")),
        (
            "parameters: {compose: {method: download}}",
            ("parameters.compose", "needs `url` and `sha256` for the method `download`"),
        ),
        (
            "parameters: {compose: {metod: x}}",
            ("parameters.compose.metod", "is not a known key; did you mean `method`?"),
        ),
        ("parameters:", ("parameters", MAPPING)),
    ],
)
def test_one_fault(problems: Problems, part: str, line_path_message: tuple[str, str]) -> None:
    """One wrong key in an otherwise good environment is one problem, on its line."""
    path, message = line_path_message
    kept = {key: text for key, text in KEYS.items() if not part.startswith(f"{key}:")}
    text = "environments:\n- " + "\n  ".join([*kept.values(), part]) + "\n"

    ((line, _, found, said),) = problems(text)

    assert (line, found, said) == (2 + len(kept), f"environments[0].{path}", message)


KEYS = {
    "name": "name: a",
    "provider": "provider: {name: existing, address: b}",
    "ssh": "ssh: {key: env:KEY}",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "environments: [{name: a}]",
            [
                (1, "environments[0].provider", f"is missing: {INHERIT}"),
                (1, "environments[0].ssh", f"is missing: {INHERIT}"),
            ],
        ),
        (
            "environments: [{name: a, provider: {address: b}, ssh: {}}]",
            [
                (1, "environments[0].provider.name", f"is missing: {INHERIT}"),
                (1, "environments[0].ssh.key", f"is missing: {INHERIT}"),
            ],
        ),
        ("environments: []", [(1, "environments", "declares nothing: add an environment")]),
        ("schedules: []", [(1, "environments", "declares nothing: add an environment")]),
        (
            f"environments: [{{{GOOD}}}, {{{GOOD}}}]",
            [(1, "environments[1].name", "is the name of another environment on line 1: choose another")],
        ),
        ("environments: {a: {}}", [(1, "environments", "must be a list: a `- name: …` for each")]),
        ("environments: [a]", [(1, "environments[0]", MAPPING)]),
        (
            f"environments: [{{{GOOD}}}]\nenvironment: 1",
            [
                (2, "environment", "is not a known key; did you mean `environments`?"),
            ],
        ),
        (
            f"environments:\n- {{{GOOD}}}\n- {{{GOOD}}}",
            [
                (3, "environments[1].name", "is the name of another environment on line 2: choose another"),
            ],
        ),
        (f"environments: [{{{GOOD}}}]\ndefaults: [1]", [(2, "defaults", MAPPING)]),
        (
            f"environments: [{{{GOOD}}}]\ndefaults: {{name: b}}",
            [
                (2, "defaults.name", "is not a known key; known: labels, parameters, provider, ssh"),
            ],
        ),
        (
            f"environments: [{{{GOOD}}}]\ngroups: {{Web: {{}}, db: 1}}",
            [
                (2, "groups.Web", "must be a-z, 0-9 and `-`, a letter or digit first and last"),
                (2, "groups.db", MAPPING),
            ],
        ),
        (
            f"environments: [{{{GOOD}}}]\ngroups: {{web: {{ssh: {{port: x}}}}}}",
            [
                (2, "groups.web.ssh.port", "must be a whole number"),
            ],
        ),
        (
            f"environments: [{{{GOOD}, labels: {{a: x, a: y}}}}]",
            [
                (1, "environments[0].labels.a", "is given twice, first on line 1: remove one"),
            ],
        ),
        (
            f"environments: [{{{GOOD}, labels: {{2: x}}}}]",
            [
                (1, "environments[0].labels", "has a key that is not text: put the key in quotes"),
            ],
        ),
        (
            f"environments: [{{{GOOD}, labels: {{a: !!str x, b: !secret y}}}}]",
            [
                (1, "environments[0].labels.b", "has the YAML tag !secret: remove it"),
            ],
        ),
        (
            f'environments: [{{{GOOD}, labels: {{a: "\\ud800"}}}}]',
            [
                (1, "environments[0].labels.a", "cannot be used as str"),
            ],
        ),
        (
            f"defaults: &d {{labels: {{a: b}}}}\nenvironments: [{{{GOOD}, <<: *d}}]",
            [
                (2, "environments[0].<<", "`<<` is not supported: put what is shared in `defaults` or in a group"),
            ],
        ),
    ],
)
def test_outline(problems: Problems, text: str, expected: list[tuple[int, str, str]]) -> None:
    assert [(line, path, message) for line, _, path, message in problems(text)] == expected


def test_places(problems: Problems) -> None:
    """Line and column of the key; of the item in a list; of the environment for what it lacks."""
    text = dedent("""\
        environments:
          - name: a
            groups:
              - web
            labels: {"Stage": x}
            provider:
              name: existing
              port: 22
    """)

    assert [(line, column, path) for line, column, path, _ in problems(text)] == [
        (2, 5, "environments[0].provider.address"),
        (2, 5, "environments[0].ssh"),
        (4, 9, "environments[0].groups[0]"),
        (5, 14, "environments[0].labels.Stage"),
        (8, 7, "environments[0].provider.port"),
    ]


def test_all_at_once(problems: Problems) -> None:
    """In the order of the file, a fault in the defaults once, whoever inherits it."""
    text = dedent("""\
        defaults:
          ssh: {key: env:K, prt: 1}
        groups:
          unused: {provider: {name: hetzner, tokn: x}}
        environments:
          - name: -a
            provider: {name: existing, address: b}
          - name: b
            name: c
            provider: {name: existing}
        schedules: 3
    """)

    assert [(line, path) for line, _, path, _ in problems(text)] == [
        (2, "defaults.ssh.prt"),
        (4, "groups.unused.provider.tokn"),
        (6, "environments[0].name"),
        (8, "environments[1].provider.address"),
        (9, "environments[1].name"),
        (11, "schedules"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"environments: [{{{GOOD}, parameters: {{cloud_init: {{commands: [sekrit]}}}}, ssh: {{key: sekrit}}}}]",
        "environments: [{name: a, provider: {name: hetzner, token: sekrit}, ssh: {key: env:K}}]",
        "environments: [{name: a, provider: {name: hetzner, token: [sekrit]}, ssh: {key: env:K}}]",
        "environments: [{name: a, provider: {name: hetzner, image: sek rit, token: env:T}, ssh: {key: env:K}}]",
    ],
)
def test_a_literal_secret_is_not_repeated(load: Callable[[str], object], text: str) -> None:
    with pytest.raises(FleetFileError) as caught:
        load(text)

    assert "sek" not in f"{caught.value}{caught.value!r}{caught.value.__cause__}"


def test_error_survives_pickling() -> None:
    error = FleetFileError([Problem("f.yaml", 2, 1, "a", "is wrong"), Problem("f.yaml", 0, 0, "", "is worse")])

    assert pickle.loads(pickle.dumps(error)).problems == error.problems  # noqa: S301  what it is about
    assert str(error) == "f.yaml: is worse\nf.yaml:2:1: a: is wrong"


@settings(deadline=None)  # it writes files, on machines that do other things too
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a file holds, there is an answer of ours."""
    path: Path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)

    with pytest.raises(FleetFileError) as caught:
        fleet.load(path)

    assert caught.value.problems
