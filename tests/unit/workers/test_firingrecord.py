from __future__ import annotations

import pytest

from workers.firingrecord import Due


@pytest.mark.parametrize(
    ("due", "text"),
    [
        (Due("nightly", 1764066000.0), "nightly 1764066000"),
        (Due("nightly", 1764066000.25, "anna smith@vm1"), "nightly 1764066000.250 anna smith@vm1"),
    ],
)
def test_a_firing_is_one_line_of_text(due: Due, text: str) -> None:
    assert str(due) == text
    assert Due.parse(text) == due
