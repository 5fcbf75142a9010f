"""A renamed environment on a real host: the plan under the new name finds nothing to do, and no second host is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.sandbox import api, namespaces, store
from tests.e2e import conftest
from tests.e2e.conftest import Site

pytestmark = pytest.mark.skipif(conftest.WHY_NOT is not None, reason=f"light hosts: {conftest.WHY_NOT}")


def hosts(site: Site) -> dict[str, object]:
    """The first process of each host, by name."""
    folder = site.folder / "hosts"
    return {each.name: namespaces.running(store.home(folder, each.name)) for each in api.instances(folder)}


def test_the_host_of_a_renamed_environment_is_neither_replaced_nor_doubled(site: Site) -> None:
    assert site.stepmark("provision", site.fleet({"name": "before"}))[0] == 0
    made = hosts(site)
    after: Path = site.fleet({"name": "after"})

    status, document = site.stepmark("adopt", "before", "after", "--yes")
    assert (status, document["moved_to"]) == (0, "after")
    plan = site.stepmark("provision", after, "--plan")[1]["plans"]["after"]
    assert plan["counts"] == {"add": 0, "change": 0, "destroy": 0}
    again = site.stepmark("provision", after)
    assert (again[0], again[1]["environments"][0]["outcome"]) == (0, "succeeded")
    assert hosts(site) == made
    assert site.stepmark("provision", site.fleet({"name": "before"}))[0] == 3

    assert site.stepmark("destroy", "after", "--yes")[0] == 0
    assert hosts(site) == {}
    assert site.stepmark("forget", "before", "--reason", "destroyed", "--yes")[0] == 0
    assert site.stepmark("provision", after)[0] == 0
    assert set(hosts(site)) == {"after"}, "the next host has the new name"
    assert site.stepmark("destroy", "after", "--yes")[0] == 0
