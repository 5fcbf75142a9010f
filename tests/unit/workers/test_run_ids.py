"""Hosts refuse what an earlier run asks of them: of two run ids the later one is the greater."""

from __future__ import annotations

from workers.launch import new_run_ids


def test_runs_of_one_launch_sort_in_their_order() -> None:
    for _ in range(100):
        ids = new_run_ids((1_700_000_000, 5), 3)
        assert ids == sorted(set(ids))


def test_a_later_launch_sorts_later() -> None:
    times = [(1_700_000_000, 999), (1_700_000_000, 1_000), (1_700_000_001, 0), (4_000_000_000, 0)]
    ids = [each for now in times for each in new_run_ids(now, 2)]

    assert ids == sorted(ids)
    assert {len(each) for each in ids} == {19}
