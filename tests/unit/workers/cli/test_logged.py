from __future__ import annotations

import logging

import pytest

from workers.cli import logged


def test_what_is_logged_goes_to_the_command_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("workers.firing")

    with logged.collected() as found:
        logger.warning("Schedule %s: nobody is there", "nightly")
        logger.info("It began")
    logger.warning("Afterwards")

    assert found == ["Schedule nightly: nobody is there"]
    assert caplog.messages == ["Afterwards"]
