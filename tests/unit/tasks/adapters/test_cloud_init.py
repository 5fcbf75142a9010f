from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from config.fleet import EnvironmentSpec
from tasks import errors
from tasks.adapters import cloud_init
from tasks.adapters.cloud_init import Keys

KEYS = Keys("ssh-ed25519 AAAAlogin", "-----BEGIN\nprivate\n-----END\n", "ssh-ed25519 AAAAhost")


def environment(user: str = "root", **cloud: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate(
        {
            "name": "web-1",
            "provider": {"name": "existing", "address": "192.0.2.1"},
            "ssh": {"user": user, "key": "env:KEY"},
            "labels": {"role": "web"},
            "parameters": {"cloud_init": cloud},
        }
    )


def read(text: str) -> Any:
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def with_template(tmp_path: Path, text: str, **cloud: Any) -> Any:
    path = tmp_path / "mine.yaml.j2"
    path.write_text(text)
    return read(cloud_init.user_data(environment(template=str(path), **cloud), KEYS))


def test_user_data_for_root() -> None:
    assert read(cloud_init.user_data(environment(packages=("curl",), commands=("echo a",)), KEYS)) == {
        "hostname": "web-1",
        "locale": False,
        "disable_root": False,
        "ssh_pwauth": False,
        "users": [{"name": "root", "lock_passwd": False, "ssh_authorized_keys": [KEYS.login]}],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": KEYS.host_private, "ed25519_public": KEYS.host_public},
        "package_update": True,
        "packages": ["curl"],
        "runcmd": ["echo a"],
    }


def test_another_user_may_become_root_and_root_may_not_log_in() -> None:
    data = read(cloud_init.user_data(environment(user="deploy"), KEYS))

    assert (data["disable_root"], data["package_update"], data["users"]) == (
        True,
        False,
        [
            {
                "name": "deploy",
                "lock_passwd": False,
                "ssh_authorized_keys": [KEYS.login],
                "passwd": "*",
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
            }
        ],
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=3))
def test_any_command_comes_back(commands: list[str]) -> None:
    data = read(cloud_init.user_data(environment(commands=tuple(commands)), KEYS))

    assert (data["runcmd"], data["packages"]) == (commands, [])


def test_the_operators_template_is_merged(tmp_path: Path) -> None:
    text = (
        "fqdn: {{ (name ~ '.example') | yaml }}\nlocale: C.UTF-8\nruncmd: [two]\n"
        "about: {user: {{ user | yaml }}, port: {{ port }}, labels: {{ labels | yaml }}, groups: {{ groups | yaml }}}\n"
    )

    data = with_template(tmp_path, text, commands=("one",))

    assert (data["fqdn"], data["locale"], data["runcmd"], data["hostname"]) == (
        "web-1.example",
        "C.UTF-8",
        ["one", "two"],
        "web-1",
    )
    assert data["about"] == {"user": "root", "port": 22, "labels": {"role": "web"}, "groups": []}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fqdn: {{ nmae | yaml }}", "template mine.yaml.j2: line 1: 'nmae' is undefined"),
        ("- a", "template mine.yaml.j2: it must render to a YAML mapping"),
        ("", "template mine.yaml.j2: it must render to a YAML mapping"),
        ("ssh_keys: {}", "template mine.yaml.j2: it may not set ssh_keys: the host key is already chosen"),
    ],
)
def test_a_template_that_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(errors.TemplateError) as caught:
        with_template(tmp_path, text)

    assert str(caught.value) == problem


def test_a_template_that_is_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(errors.TemplateError, match=r"^template mine\.yaml\.j2: [^\n]*line 1[^\n]*$"):
        with_template(tmp_path, "a: [1")


def pem(key: Any, form: serialization.PrivateFormat, secret: bytes | None = None) -> str:
    hidden = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, hidden).decode())


def public(key: Any) -> str:
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return str(key.public_key().public_bytes(*form).decode())


ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (ED25519, serialization.PrivateFormat.OpenSSH),
        (RSA, serialization.PrivateFormat.OpenSSH),
        (RSA, serialization.PrivateFormat.TraditionalOpenSSL),
        (ED25519, serialization.PrivateFormat.PKCS8),
    ],
)
def test_the_public_half_of_every_form_of_key(key: Any, form: serialization.PrivateFormat) -> None:
    assert cloud_init.public_key(pem(key, form).rstrip()) == public(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        pem(RSA, serialization.PrivateFormat.PKCS8, b"word"),
        public(ED25519),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
    ids=["empty", "no-key", "passphrase", "public", "cut-off"],
)
def test_a_key_that_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        cloud_init.public_key(text)

    assert str(caught.value) == "the SSH key cannot be read: it must be a private key without a passphrase"
