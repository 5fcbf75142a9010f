"""Steps by Ansible: the inventory and the variables of a host, and the playbooks that configure it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tasks import errors
from tasks.adapters import ansible, ssh, templates
from tasks.context import StepContext
from tasks.facts import Facts
from tasks.providers import registry
from tasks.providers.base import Need
from tasks.result import Ending, Result
from tasks.steps import login
from tasks.steps.registry import step

FOLDER = "ansible"
_DOCKER = (Need.PACKAGES, Need.SERVICES, Need.CONTAINERS)


@step("ansible.render")
def render(facts: Facts, context: StepContext) -> Result:
    """Write inventory and variables into the workspace's `ansible/`; learn `ansible_digest`.

    Raises:
        TemplateError: the host's address is not known.
    """
    files = _files(facts, context)
    digest = templates.digest(files)
    folder = context.workspace / FOLDER
    if digest == facts.ansible_digest and all((folder / name).exists() for name in files):
        return Result(facts, Ending.UNCHANGED)
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, text in files.items():
        templates.write(folder / name, text)
    return Result(facts.model_copy(update={"ansible_digest": digest}), note=f"for {facts.address}")


@step("ansible.install_docker")
def install_docker(facts: Facts, context: StepContext) -> Result:
    """Install Docker's engine, have it run, and let the login user use it."""
    return _play("install-docker.yml", _DOCKER, facts, context)


@step("ansible.install_compose")
def install_compose(facts: Facts, context: StepContext) -> Result:
    """Install Docker Compose, from the distribution or by a checked download."""
    downloads = context.environment.parameters.compose.method == "download"
    # A plugin is nothing without Docker; the package brings a program of its own.
    needs = _DOCKER if downloads else (Need.PACKAGES,)
    return _play("install-docker-compose.yml", needs, facts, context)


@step("ansible.security_updates")
def security_updates(facts: Facts, context: StepContext) -> Result:
    """Have security updates installed every day."""
    result = _play("configure-security-updates.yml", (Need.PACKAGES,), facts, context)
    reason = registry.get(context.environment).lacks(context.environment).get(Need.SERVICES)
    if reason is None or result.ending is Ending.NOT_POSSIBLE:
        return result
    return dataclasses.replace(result, note=f"{result.note}; nothing starts them: {reason}")


@step("ansible.firewall")
def firewall(facts: Facts, context: StepContext) -> Result:
    """Let in SSH and the allowed ports only."""
    return _play("configure-firewall.yml", (Need.PACKAGES, Need.FIREWALL), facts, context)


def _play(playbook: str, needs: Iterable[Need], facts: Facts, context: StepContext) -> Result:
    lacks = registry.get(context.environment).lacks(context.environment)
    for need in needs:
        if need in lacks:
            return Result(facts, Ending.NOT_POSSIBLE, lacks[need])
    if facts.host_key is None:
        raise errors.AuthenticationError("no host key is pinned yet: the step that waits for SSH learns it")
    facts = render(facts, context).facts
    with login.target(facts, context) as target:
        done = ansible.play(ansible.Play(playbook, context.workspace / FOLDER, target), context.session)
    return Result(facts, Ending.DONE if done.changed else Ending.UNCHANGED, f"{done.changed} changed, {done.ok} ok")


def _files(facts: Facts, context: StepContext) -> Mapping[str, str]:
    return {
        "inventory.json": templates.to_json(_literal(_inventory(facts, context))),
        "vars.json": templates.to_json(_literal(_variables(context))),
    }


def _inventory(facts: Facts, context: StepContext) -> Mapping[str, object]:
    """One host, under a name of ours: an environment may be called `all`, which is a group to Ansible."""
    if facts.address is None:
        raise errors.TemplateError("ansible/inventory.json", "the host's address is not known yet")
    declared = context.environment.ssh
    host = {
        "ansible_host": facts.address,
        "ansible_port": facts.ssh_port or declared.port,
        "ansible_user": declared.user,
    }
    return {"all": {"hosts": {ssh.ALIAS: host}}}


def _variables(context: StepContext) -> Mapping[str, object]:
    declared = context.environment
    parameters = declared.parameters.model_dump(mode="json", exclude={"cloud_init", "timeouts"})
    return {**parameters, "login_user": declared.ssh.user, "ssh_port": declared.ssh.port}


def _literal(value: object) -> object:
    """`value` with every text in it marked as text: Ansible would take `{{` in it for a template of its own."""
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return {"__ansible_unsafe": value} if isinstance(value, str) else value
