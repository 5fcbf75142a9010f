from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.timetable import Timetable

HOURLY = Timetable(name="often", interval_seconds=3600, since=1000.0)


def of(**changes: object) -> Timetable:
    return HOURLY.model_copy(update=changes)


def test_an_interval_is_counted_from_its_beginning() -> None:
    times = [HOURLY.after(at) for at in (0.0, 999.0, 1000.0, 4599.5, 4600.0, 4601.0, 8200.0)]

    assert times == [4600, 4600, 4600, 4600, 8200, 8200, 11800]


def test_one_time_is_due_however_many_have_passed() -> None:
    assert [HOURLY.due(1000.0, now) for now in (1000.0, 4599.9, 4600.0, 8199.0, 8200.0, 1000.0 + 3600 * 500.5)] == [
        *(None, None, 4600, 4600, 8200),
        1000 + 3600 * 500,
    ]


@pytest.mark.parametrize("made", [of(), of(interval_seconds=0, cron="0 3 * * *")])
def test_a_time_that_was_fired_is_not_due_again(made: Timetable) -> None:
    """Not even when the clock goes back."""
    time = made.after(10**9)

    assert made.due(time, time) is None
    assert made.due(time, time - 7200) is None
    assert made.due(time, made.after(time) - 1) is None
    assert made.due(time, made.after(time)) == made.after(time)


def test_jitter_is_the_same_for_all_who_ask_and_differs_by_time_and_name() -> None:
    made = of(jitter_seconds=600)
    times = list(itertools.accumulate(range(500), lambda at, _: made.after(at), initial=made.after(0)))
    drawn = [made.due_at(time) - time for time in times]

    assert drawn == [of(jitter_seconds=600).due_at(time) - time for time in times]
    assert min(drawn) >= 0
    assert max(drawn) <= 600
    assert len(set(drawn)) > 200
    assert 200 < sum(drawn) / len(drawn) < 400
    assert drawn != [of(name="other", jitter_seconds=600).due_at(time) - time for time in times]


def test_without_jitter_it_is_due_at_its_time() -> None:
    assert HOURLY.due_at(4600) == 4600


@given(st.integers(0, 4000), st.integers(0, 50_000), st.integers(0, 50_000))
def test_what_is_due_is_the_latest_that_is(jitter: int, last: int, passed: int) -> None:
    """A long jitter may have a time come after the next one: each is fired at most once, in their order."""
    made = of(interval_seconds=600, jitter_seconds=jitter)
    now = last + passed
    times = itertools.takewhile(lambda time: time <= now, (1000.0 + 600 * k for k in itertools.count(1)))
    after_first = made.after(last)
    expected = [time for time in times if time > last and made.due_at(time) <= now]

    found = made.due(last, now)

    if made.due_at(after_first) > now:
        assert found is None  # it waits for the first one, even if a later one is due before
    else:
        assert found == max(expected)
