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
