"""The worker's container: its health check, and a tracked run that fails in it, is killed, and is resumed."""

from __future__ import annotations

import json
import time
from typing import Any

from pytest_celery import CeleryTestSetup, CeleryWorkerContainer

from tests.smoke import images as smoke_images
from tests.support import poll

_PULSE_SECONDS = 5


def test_health_check_tells_a_stopped_worker_from_a_running_one(celery_setup: CeleryTestSetup) -> None:
    """The pulse is set back: only a worker that does its work makes it fresh again."""
    container = celery_setup.worker.container
    celery = "$(grep -l '^PPid:.1$' /proc/[0-9]*/status | cut -d/ -f3)"
    age = "touch -d '5 minutes ago' $STEPMARK_PULSE_FILE"
    _shell(container, age)
    poll(lambda: _healthy(container), seconds=30)

    _shell(container, f"kill -STOP {celery}; {age}")
    time.sleep(2 * _PULSE_SECONDS)
    stopped_is_healthy = _healthy(container)
    _shell(container, f"kill -CONT {celery}")

    assert not stopped_is_healthy
    poll(lambda: _healthy(container), seconds=30)


def test_run_names_its_failed_step_and_outlives_its_worker(celery_setup: CeleryTestSetup) -> None:
    container = celery_setup.worker.container

    first = _stepmark(container, "register", "/run/stepmark/fleet.yaml", "--env", "lost-1")
    container.kill()
    container.restart()
    second = _stepmark(container, "resume", "lost-1")

    expected = {"failed_step": "wait-ssh-connectivity", "step_index": 1, "error_kind": "timeout"}
    assert [_part(first, *expected, "epoch"), _part(second, *expected, "epoch")] == [
        {**expected, "epoch": 1},
        {**expected, "epoch": 2},
    ]


def test_image_runs_as_nobody_with_its_tools(celery_setup: CeleryTestSetup, images: smoke_images.Images) -> None:
    container = celery_setup.worker.container
    tools = ["ssh", "ansible-playbook", *([images.tofu] if images.tofu else [])]

    assert _shell(container, "id -u") == (0, "10001\n")
    assert [_shell(container, f"command -v {tool}")[0] for tool in tools] == [0] * len(tools)


def _healthy(container: CeleryWorkerContainer) -> bool:
    """What the image's own HEALTHCHECK says now."""
    kind, command = container.attrs["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    return _shell(container, command)[0] == 0


def _stepmark(container: CeleryWorkerContainer, *words: str) -> dict[str, Any]:
    """Run an operator's command in the container; returns what it says as JSON."""
    status, output = container.exec_run(["stepmark", *words, "--json"], demux=True)
    stdout, stderr = output
    assert status == 1, (stdout, stderr)
    answer: dict[str, Any] = json.loads(stdout)
    return answer


def _part(answer: dict[str, Any], *fields: str) -> dict[str, Any]:
    (environment,) = answer["environments"]
    return {field: environment["failure"][field] for field in fields}


def _shell(container: CeleryWorkerContainer, command: str) -> tuple[int, str]:
    status, output = container.exec_run(["sh", "-c", command])
    return status, output.decode()
