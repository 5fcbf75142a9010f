"""A trace as text has the content of the trace as JSON."""

from __future__ import annotations

from tasks import failure, trace
from tasks.errors import Kind
from tasks.failure import Cause, Failure
from tasks.trace import ChainLink, Trace
from tests.unit.tasks.test_failure import TRACKED


def test_text() -> None:
    found = Failure(Kind.TIMEOUT, Cause.TIMED_OUT, "DeadlineError", "too slow", "tofu apply", None, "first\nlast")
    context = failure.build(TRACKED, found, at=1_020.0, trace_id="t1", trace_path="p")
    links = (ChainLink(type="DeadlineError", message="too slow"), ChainLink(type="OSError", message="beneath"))

    lines = trace.render(Trace(context=context, error_chain=links)).splitlines()

    assert lines[1] == "FAILED  web-1  provision 5/9 opentofu-apply"
    assert "failed_step                 opentofu-apply" in lines
    assert "exit_status                 -" in lines
    for name in context.model_dump(exclude={"completed_steps", "output_tail"}):
        assert any(line.startswith(name) for line in lines), name
    chain = lines.index("Error chain")
    assert lines[chain + 1 : chain + 3] == ["  [level 0] DeadlineError: too slow", "  [level 1] OSError: beneath"]
    assert "  2/9 opentofu-init                done         0.20 s" in lines
    assert lines[-5:-3] == ["  first", "  last"]
    assert lines[-2] == "END OF TRACE t1"


def test_a_failure_after_which_the_run_went_on_asks_for_nothing() -> None:
    found = Failure(Kind.WORKER_LOST, Cause.WORKER_LOST, "LostRun", "not heard of")
    context = failure.build(TRACKED, found, at=1_020.0, trace_id="t1", trace_path="p")

    lines = trace.render(Trace(context=context, error_chain=()), "another worker took it over").splitlines()

    assert lines[3] == "WENT ON another worker took it over"
    assert "hint                        nothing: it went on" in lines
