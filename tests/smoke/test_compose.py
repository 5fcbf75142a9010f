"""compose.yaml as an operator starts it: every service healthy, a run through them, and what Flower shows of it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.smoke import images as smoke_images
from tests.support import REPOSITORY, poll

Compose = Callable[..., subprocess.CompletedProcess[str]]

_SERVICES = {"beat", "flower", "redis", "worker-tools", "worker-wait"}
_OURS = sorted(_SERVICES - {"redis"})


@pytest.fixture(scope="module")
def flower_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def compose(images: smoke_images.Images, files: Path, flower_port: int) -> Iterator[Compose]:
    """Compose on our file, as a project of its own; the stack is up."""
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "STEPMARK_IMAGE": images.stepmark,
        "REDIS_IMAGE": images.redis,
        "STEPMARK_SECRETS": str(files / "secrets"),
        "STEPMARK_SSH_KEYS": str(files / "ssh"),
        "STEPMARK_FLEET": str(files / "fleet.yaml"),
        "FLOWER_PORT": str(flower_port),
    }
    words = (*_client(), "-p", f"stepmark-smoke-{os.getpid()}", "-f", str(REPOSITORY / "compose.yaml"))

    def run(*more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run((*words, *more), env=env, capture_output=True, text=True, check=False, timeout=180)
        assert not check or done.returncode == 0, done.stderr
        return done

    try:
        run("up", "--detach", "--no-build")
        yield run
    finally:
        print(run("logs", "--no-color", "--tail", "200", check=False).stdout)
        run("down", "--volumes", "--timeout", "10", check=False)


def _client() -> tuple[str, ...]:
    if subprocess.run(("docker", "compose", "version"), capture_output=True, check=False).returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("neither `docker compose` nor docker-compose is here")
    return ("docker-compose",)


def test_every_service_becomes_healthy(compose: Compose) -> None:
    running = set(compose("ps", "--services", "--filter", "status=running").stdout.split())
    containers = compose("ps", "--quiet").stdout.split()

    assert running == _SERVICES
    poll(lambda: set(_health(containers)) == {"healthy"}, seconds=90, every=1)


@pytest.mark.parametrize("service", _OURS)
def test_service_is_nobody_and_cannot_write_its_image(compose: Compose, service: str) -> None:
    found = compose("exec", "-T", service, "sh", "-c", "id -u; touch /opt/stepmark/x", check=False)

    assert (found.stdout, "Read-only file system" in found.stderr) == ("10001\n", True)


def test_redis_keeps_everything_and_wants_the_password(compose: Compose) -> None:
    asked = "redis-cli ping; export REDISCLI_AUTH=$(cat /run/secrets/redis_password); redis-cli config get "
    found = compose("exec", "-T", "redis", "sh", "-c", asked + "appendonly appendfsync maxmemory-policy").stdout.split()

    assert found[:2] == ["NOAUTH", "Authentication"]
    assert dict(zip(found[-6::2], found[-5::2], strict=True)) == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }


def test_run_is_tracked_and_shown_by_flower(compose: Compose, flower_port: int) -> None:
    words = ("run", "--rm", "-T", "stepmark", "stepmark", "register", "--env", "lost-1")
    (environment,) = json.loads(compose(*words, "--json", check=False).stdout)["environments"]
    failure = environment["failure"]

    assert (failure["failed_step"], failure["error_kind"]) == ("wait-ssh-connectivity", "timeout")
    assert failure["worker"].startswith("wait@")
    poll(lambda: "lost-1 register 1/3 wait-ssh-connectivity" in _task_names(flower_port), seconds=30, every=0.5)


def test_beat_fires_the_schedule_of_the_fleet_file(compose: Compose) -> None:
    """The workers have no fleet file."""
    compose("run", "--rm", "-T", "stepmark", "stepmark", "schedule", "apply")

    def fired() -> bool:
        words = ("run", "--rm", "-T", "stepmark", "stepmark", "show", "lost-2", "--json")
        return '"schedule often, rollout r' in compose(*words, check=False).stdout

    poll(fired, seconds=60, every=1)


def test_flower_wants_a_login(compose: Compose, flower_port: int) -> None:
    assert _tasks(flower_port, {})[0] == 401


def _health(containers: list[str]) -> list[str]:
    words = ("docker", "inspect", "--format", "{{.State.Health.Status}}", *containers)
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def _task_names(port: int) -> set[str]:
    login = base64.b64encode(b"operator:flower-pass").decode()
    status, content = _tasks(port, {"Authorization": f"Basic {login}"})
    assert status == 200, content
    return {task["name"] for task in json.loads(content).values()}


def _tasks(port: int, headers: dict[str, str]) -> tuple[int, bytes]:
    """What Flower's API says of the tasks it has seen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/tasks", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()
