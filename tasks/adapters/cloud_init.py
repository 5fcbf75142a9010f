"""What a new host is told at its first boot. See https://cloudinit.readthedocs.io/en/latest/reference/modules.html."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization

from config.fleet import EnvironmentSpec
from tasks import errors
from tasks.adapters import templates

# A host that got another host key than the one we pinned could never be logged in to.
_OURS = frozenset({"ssh_keys", "ssh_deletekeys"})


@dataclass(frozen=True)
class Keys:
    """login: the public key to let in. host_private, host_public: the host's own key, in OpenSSH's format."""

    login: str
    host_private: str
    host_public: str


def public_key(private: str) -> str:
    """The public half of a private key, as `ssh-ed25519 AAAA…`.

    Raises:
        ConfigurationError: it is no private key, or a passphrase protects it.
    """
    data = private.strip().encode() + b"\n"
    opening = b"-----BEGIN OPENSSH PRIVATE KEY-----"
    load = serialization.load_ssh_private_key if data.startswith(opening) else serialization.load_pem_private_key
    try:
        public = load(data, password=None).public_key()
    except (ValueError, TypeError) as error:  # TypeError: cryptography's answer to a passphrase
        raise errors.ConfigurationError(
            "the SSH key cannot be read: it must be a private key without a passphrase"
        ) from error
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return public.public_bytes(*form).decode()


def user_data(environment: EnvironmentSpec, keys: Keys) -> str:
    """The cloud-config: our login, the host's key, the declared packages and commands, and the operator's template.

    The template is given name, user, port, labels and groups; its lists are added to ours, its values go before ours.

    Raises:
        TemplateError: the operator's template does not render to a mapping, or sets what is ours to set.
    """
    data = _ours(environment, keys)
    template = environment.parameters.cloud_init.template
    if template is not None:
        data = _merge(data, _theirs(environment, Path(template).expanduser()))
    return "#cloud-config\n" + templates.to_yaml(data)


def _ours(environment: EnvironmentSpec, keys: Keys) -> dict[str, Any]:
    wanted = environment.parameters.cloud_init
    return {
        "hostname": environment.name,
        # The image's own locale stays: setting one needs a package that small images lack, and ends in an error there.
        "locale": False,
        "disable_root": environment.ssh.user != "root",
        "ssh_pwauth": False,
        "users": [_login(environment.ssh.user, keys.login)],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": keys.host_private, "ed25519_public": keys.host_public},
        "package_update": bool(wanted.packages),
        "packages": list(wanted.packages),
        "runcmd": list(wanted.commands),
    }


def _login(user: str, key: str) -> dict[str, Any]:
    # sshd without PAM refuses a locked account even to a key; `*` matches no password, and is not locked.
    login: dict[str, Any] = {"name": user, "lock_passwd": False, "ssh_authorized_keys": [key]}
    if user == "root":
        return login
    return login | {"passwd": "*", "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL"}


def _theirs(environment: EnvironmentSpec, template: Path) -> Mapping[str, Any]:
    ssh = environment.ssh
    values = {"name": environment.name, "user": ssh.user, "port": ssh.port}
    text = templates.render(template, values | {"labels": environment.labels, "groups": environment.groups})
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise errors.TemplateError(template.name, " ".join(str(error).split())) from error
    if not isinstance(data, dict):
        raise errors.TemplateError(template.name, "it must render to a YAML mapping")
    if taken := sorted(_OURS.intersection(data)):
        raise errors.TemplateError(template.name, f"it may not set {', '.join(taken)}: the host key is already chosen")
    return data


def _merge(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            merged[key] = _merge(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            merged[key] = mine + value
        else:
            merged[key] = value
    return merged
