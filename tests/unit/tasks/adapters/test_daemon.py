import os
from pathlib import Path

import pytest

from tasks import errors
from tasks.adapters import daemon
from tasks.adapters.daemon import Started

ENV = {"PATH": daemon.PATH}


def test_a_detached_program_has_its_own_session_and_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = daemon.start_detached(
        ("sh", "-c", "echo $WORD; exec sleep 600"), cwd=tmp_path, env={**ENV, "WORD": "hi"}, log=log
    )
    try:
        assert daemon.alive(process)
        assert os.getsid(process.pid) == process.pid
    finally:
        daemon.end(process)
    assert not daemon.alive(process)
    assert log.read_text() in {"hi\n", ""}


def test_a_later_process_of_the_same_number_is_not_ended(tmp_path: Path) -> None:
    process = daemon.start_detached(("sleep", "600"), cwd=tmp_path, env=ENV, log=tmp_path / "log")
    try:
        earlier = Started(process.pid, process.ticks - 1)
        assert not daemon.alive(earlier)
        daemon.end(earlier)
        assert daemon.alive(process)
    finally:
        daemon.end(process)


def test_what_is_gone_is_ended_already() -> None:
    daemon.end(Started(2**22 - 1, 1))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ToolMissingError, match="no-such-program"):
        daemon.start_detached(("no-such-program",), cwd=tmp_path, env=ENV, log=tmp_path / "log")
    with pytest.raises(errors.ToolMissingError, match="no-such-program"):
        daemon.call(("no-such-program",), timeout_seconds=20)


def test_call_returns_the_output() -> None:
    assert daemon.call(("cat",), timeout_seconds=20, text="hello") == "hello"


def test_call_says_the_last_line_of_a_failure() -> None:
    with pytest.raises(errors.SandboxError) as caught:
        daemon.call(("sh", "-c", "echo one; echo two >&2; echo three >&2; exit 7"), timeout_seconds=20)

    assert (str(caught.value), caught.value.exit_status) == ("sh failed: three", 7)


def test_call_ends_what_takes_too_long() -> None:
    with pytest.raises(errors.SandboxError, match=r"did not end in 0\.1 s"):
        daemon.call(("sleep", "600"), timeout_seconds=0.1)
