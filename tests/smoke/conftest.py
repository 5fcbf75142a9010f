"""Fixtures of the smoke tests: the image of workers/Dockerfile, running in containers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_celery import CeleryBrokerCluster, CeleryTestBroker, CeleryWorkerContainer
from pytest_docker_tools import container, fxtr

from tasks.errors import ToolError
from tests.smoke import images as smoke_images

FLEET = """\
environments:
  - {name: lost-1, provider: {name: existing, address: 127.0.0.9}}
  - {name: lost-2, provider: {name: existing, address: 127.0.0.9}}
defaults:
  ssh: {user: root, port: 9, key: "file:/run/stepmark/ssh/id"}
  parameters: {timeouts: {wait-ssh-connectivity: 3}}
schedules:
  - {name: often, workflow: register, select: {environments: [lost-2]}, every: 5s}
"""


@pytest.fixture(scope="session")
def images() -> smoke_images.Images:
    """The images; without an engine the tests are skipped, but not in CI."""
    if missing := _missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    try:
        return smoke_images.build()
    except ToolError as error:
        pytest.fail(f"{error}\n{error.output_tail}")


def _missing() -> str | None:
    for program in ("docker", "mmdebstrap"):
        if shutil.which(program) is None:
            return f"the smoke tests need {program}: `.ci/docker.sh start`, as root, installs it"
    answer = subprocess.run(("docker", "version"), capture_output=True, check=False, timeout=30)
    return "no docker engine answers: `.ci/docker.sh start`, as root, starts one" if answer.returncode else None


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is mounted into containers: fleet.yaml, ssh/ and secrets/, readable for the user inside."""
    folder = tmp_path_factory.mktemp("stepmark")
    contents = {
        "fleet.yaml": FLEET,
        "ssh/id": "a key that is never asked for\n",
        "secrets/encryption_key": Fernet.generate_key().decode(),
        "secrets/redis_password": 'r/dis \\"@pass\n',
        "secrets/flower_basic_auth": "operator:flower-pass\n",
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        path.chmod(0o444)
    for directory in (folder, folder / "ssh", folder / "secrets"):
        directory.chmod(0o755)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _on_the_host(images: smoke_images.Images) -> Iterator[None]:  # the images first: without them all is skipped
    """Ports are published on this machine, even if it looks like a container to pytest-docker-tools."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest_docker_tools.wrappers.container.tests_inside_container", lambda: False)
        yield


class StepmarkWorker(CeleryWorkerContainer):
    """One worker of the image for both queues."""

    @classmethod
    def command(cls, *args: str, **_: Any) -> list[str]:
        """As compose.yaml runs it, but for the queues."""
        options = ("-n", "smoke@%h", "-Q", "tools,wait", "-P", "threads", "-c", "4", "--loglevel", "INFO")
        return ["celery", "-A", "workers", "worker", *options, *args]

    @classmethod
    def initial_env(cls, celery_worker_cluster_config: dict[str, Any], initial: dict[str, str] | None = None) -> Any:
        """Our settings in place of the plugin's."""
        (url,) = celery_worker_cluster_config["celery_broker_cluster_config"]["urls"]
        key = "/run/stepmark/secrets/encryption_key"
        return {**(initial or {}), "STEPMARK_REDIS_URL": url, "STEPMARK_ENCRYPTION_KEY_FILE": key}


default_worker_container = container(
    image="{images.stepmark}",
    command=fxtr("default_worker_command"),
    environment=fxtr("default_worker_env"),
    network="{default_pytest_celery_network.name}",
    volumes={"{files}": {"bind": "/run/stepmark", "mode": "ro"}},
    tmpfs={"/tmp": "mode=1777", "/var/lib/stepmark": "uid=10001,mode=0700"},
    read_only=True,
    wrapper_class=StepmarkWorker,
    timeout=60,
)


@pytest.fixture
def default_worker_container_cls() -> type[CeleryWorkerContainer]:
    return StepmarkWorker


@pytest.fixture
def default_redis_broker_image(images: smoke_images.Images) -> str:
    return images.redis


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: CeleryTestBroker) -> Iterator[CeleryBrokerCluster]:
    """Redis, and no other broker."""
    cluster = CeleryBrokerCluster(celery_redis_broker)
    yield cluster
    cluster.teardown()


@pytest.fixture
def celery_backend_cluster() -> None:
    """No results are kept."""
