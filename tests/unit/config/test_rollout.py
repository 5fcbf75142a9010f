from __future__ import annotations

from pathlib import Path

import pytest

from config import fleet
from config.errors import FleetFileError
from config.rollout import Amount, Budget, Limit, Policy, count
from tasks import fleetcheck

FILE = """
defaults: {ssh: {key: "env:K"}, provider: {name: existing, address: 127.0.0.1}}
environments: [{name: web-1}]
rollout:
  max_parallel: 5
  canary: {size: 10%}
  budget: {failures: 25, limits: [{step: opentofu-apply, kind: quota, failures: 1}]}
"""


@pytest.mark.parametrize(
    ("amount", "total", "found"), [(3, 10, 3), ("5%", 100, 5), ("5%", 99, 4), ("0%", 9, 0), ("100%", 7, 7)]
)
def test_count(amount: Amount, total: int, found: int) -> None:
    assert count(amount, total) == found


def test_a_fleet_file_has_a_policy(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE)

    found = fleet.load(tmp_path / "fleet.yaml")

    assert fleetcheck.check(found) == ()
    assert (found.rollout.max_parallel, found.rollout.canary and found.rollout.canary.then) == (5, "pause")
    assert found.rollout.budget.rules == (Limit(failures=25), Limit(step="opentofu-apply", kind="quota", failures=1))


def test_a_fleet_file_needs_none(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE.partition("rollout:")[0])

    assert fleet.load(tmp_path / "fleet.yaml").rollout == Policy(budget=Budget())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("max_parallel: 5", "max_parallel: 0", "rollout.max_parallel: must be greater than or equal to 1"),
        ("size: 10%", "size: 110%", "rollout.canary.size: must be a number, or a part as 5%"),
        ("failures: 25", "failurs: 25", "rollout.budget.failurs: is not a known key; did you mean `failures`?"),
        ("max_parallel: 5", "deadline: soon", "rollout.deadline: must be an interval as 30m, 6h or 1d12h"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE.replace(old, new))

    with pytest.raises(FleetFileError) as caught:
        fleet.load(tmp_path / "fleet.yaml")

    assert any(problem in str(each) for each in caught.value.problems)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("opentofu-apply", "opentofu-aply", "no step is called `opentofu-aply`; did you mean `opentofu-apply`?"),
        ("quota", "quotta", "no kind is called `quotta`; did you mean `quota`?"),
        ("max_parallel: 5", "per_provider: {hetzer: 5}", "no provider is called `hetzer`; did you mean `hetzner`?"),
    ],
)
def test_names_are_checked_in_the_second_pass(old: str, new: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE.replace(old, new))

    assert [each.message for each in fleetcheck.check(fleet.load(tmp_path / "fleet.yaml"))] == [problem]
