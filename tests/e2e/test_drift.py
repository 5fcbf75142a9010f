"""Hosts that are ended behind our back, or declared otherwise: `stepmark drift` sees it, and it stays marked."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tasks.adapters import daemon
from tasks.sandbox import api, namespaces, store
from tests.e2e import cloud, conftest
from tests.e2e.cloud import Cloud
from tests.e2e.test_apply_killed import NAME, Ground, ground, settled

__all__ = ["ground"]

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")


def shown(ground: Ground) -> dict[str, Any]:
    """The environment as `status` has it."""
    (found,) = ground.stepmark("status")[1]["environments"]
    return dict(found)


def look(ground: Ground, *words: object) -> tuple[int, str]:
    """The exit status of a look, and what it found. Nothing but the mark, and the revision, is another than before."""
    mark = {"drift", "checked_at", "revision"}
    base = ground.base()
    names = (base.keys.facts(NAME), base.keys.tofu_state(NAME), base.keys.workspace(NAME))
    kept = [base.client.hgetall(name) for name in names]
    before = shown(ground)
    status, document = ground.stepmark("drift", *words)
    after = shown(ground)
    assert {name: after[name] for name in after.keys() - mark} == {name: before[name] for name in before.keys() - mark}
    assert [base.client.hgetall(name) for name in names] == kept
    (outcome,) = document["environments"]
    assert (outcome["outcome"], outcome["workflow"], outcome["drift"]) == ("succeeded", "drift-check", after["drift"])
    return status, after["drift"]["summary"] if after["drift"] else ""


def test_a_host_that_was_killed_and_one_that_is_declared_otherwise(ground: Ground) -> None:
    ground.worker("data-a")
    fleet, hosts = ground.fleet({"name": NAME}), ground.folder / "hosts"
    settled(ground, *ground.stepmark("provision", fleet))
    assert look(ground, fleet) == (0, "")

    first = namespaces.running(store.home(hosts, NAME))
    assert first is not None
    daemon.end(first)
    assert look(ground, fleet) == (6, "terraform_data.host: host fired does not run")
    since = shown(ground)["drift"]["since"]
    assert look(ground, fleet) == (6, "terraform_data.host: host fired does not run")
    assert shown(ground)["drift"]["since"] == since

    host = store.load(hosts, NAME)
    assert host is not None
    api.create(host, print)
    settled(ground, *ground.stepmark("provision", fleet))
    assert shown(ground)["drift"] is None

    otherwise = ground.fleet({"name": NAME, "provider": {"name": "sandbox", "ssh_port": 2223}})
    assert look(ground, otherwise) == (6, "terraform_data.boot: replace, terraform_data.host: replace")
    assert look(ground, ground.fleet({"name": NAME})) == (0, "")


def test_a_server_that_the_cloud_has_no_more(ground: Ground) -> None:
    """The plan sees it, and the next provision makes it anew."""
    servers = Cloud(ground.folder, "")
    with servers.serve() as endpoint:
        environment = {
            "name": NAME,
            "provider": {"name": "hetzner", "token": "env:CLOUD_TOKEN", "endpoint": endpoint},
            "ssh": {"key": "file:key", "port": 2222},
        }
        fleet = ground.folder / "cloud.yaml"
        fleet.write_text(yaml.safe_dump({"environments": [environment]}))
        ground.variables |= {"CLOUD_TOKEN": "sesame", "STEPMARK_PLUGIN_MIRROR": str(cloud.mirror(ground.folder))}
        ground.worker("data-a")
        settled(ground, *ground.stepmark("provision", fleet))
        assert look(ground, fleet) == (0, "")

        servers.end(next(iter(servers.servers)))
        assert look(ground, fleet) == (6, "hcloud_server.host: create (it is gone)")

        settled(ground, *ground.stepmark("provision", fleet))
        assert (shown(ground)["drift"], len(servers.servers)) == (None, 1)
        assert look(ground, fleet) == (0, "")
        settled(ground, *ground.stepmark("destroy", NAME, "--yes"))
