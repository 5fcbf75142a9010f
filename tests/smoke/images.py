"""The images of the smoke tests, built without a registry: a Debian base, Redis on it, and Stepmark's own on it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters import daemon
from tasks.sandbox import building, image, roots, store
from tests.support import REPOSITORY

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "stepmark" / "smoke"
_BASE = ("python3", "python3-venv", "redis-server", "openssh-client", "tini", "ca-certificates")
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".dockerignore", "config", "tasks", "workers", "examples")
# hatchling builds our wheel; Debian's Python 3.11.2 needs async-timeout for redis, newer ones do not ask for it.
_MORE_WHEELS = ("hatchling", "async-timeout>=4.0.3")
_BUILD_SECONDS = 900.0


@dataclass(frozen=True)
class Images:
    """Names of images. tofu: the name of the OpenTofu binary in `stepmark`, or None."""

    redis: str
    stepmark: str
    tofu: str | None


def build() -> Images:
    """All of them; what has not changed is kept by the engine and below the cache directory.

    Raises:
        SandboxError, ToolMissingError: one cannot be built.
    """
    _CACHE.mkdir(parents=True, exist_ok=True)
    with store.lock(_CACHE / "build.lock"):
        base = _base()
        redis = _redis(base)
        tofu = next((found for name in ("tofu", "terraform") if (found := shutil.which(name))), None)
        return Images(redis, _stepmark(base, _wheels(), tofu), Path(tofu).name if tofu else None)


def _base() -> str:
    sources = roots.debian_sources(Path("/etc/apt"))
    name = f"stepmark-smoke-base:{_digest([sources, _BASE])}"
    if not image.docker("images", "--quiet", name).strip():
        with building.folder(_CACHE) as folder:
            tar, listed = folder / "root.tar", folder / "machine.list"
            listed.write_text(sources)
            building.run(roots.command(_BASE, tar, listed), folder, timeout_seconds=_BUILD_SECONDS)
            image.docker("import", str(tar), name)
    return name


def _redis(base: str) -> str:
    """As the official image has it: /data belongs to user 999."""
    name = f"stepmark-smoke-redis:{base.partition(':')[2]}"
    _docker_build("--tag", name, "-", text=f"FROM {base}\nRUN install -d -o 999 -g 999 /data\n")
    return name


def _wheels() -> Path:
    """A folder with the wheels of all that pyproject.toml names."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = (*project["dependencies"], *_MORE_WHEELS)
    wheels = _CACHE / f"wheels-{_digest([wanted, sys.version])}"
    if not wheels.is_dir():
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            partial = Path(folder, "wheels")
            options = ("--quiet", "--only-binary=:all:", "--dest", str(partial))
            # An environment may have been made without pip; the Python below it has one.
            python = sys.executable if importlib.util.find_spec("pip") else f"{sys.base_prefix}/bin/python3"
            daemon.call((python, "-m", "pip", "download", *options, *wanted), timeout_seconds=_BUILD_SECONDS)
            partial.rename(wheels)
    return wheels


def _stepmark(base: str, wheels: Path, tofu: str | None) -> str:
    """The image of workers/Dockerfile, from a context as an operator without a package index would make it."""
    name = "stepmark-smoke:latest"
    before = image.docker("images", "--quiet", name).strip()
    arguments = [f"BASE_IMAGE={base}", "WHEELHOUSE=vendor/wheels"]
    with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
        for source in _SOURCES:
            _copy(REPOSITORY / source, Path(folder, source))
        shutil.copytree(wheels, Path(folder, "vendor/wheels"))
        if tofu:
            _copy(Path(tofu), Path(folder, "vendor", Path(tofu).name))
            arguments.append(f"TOFU=vendor/{Path(tofu).name}")
        options = [word for argument in arguments for word in ("--build-arg", argument)]
        _docker_build("--tag", name, "--file", f"{folder}/workers/Dockerfile", *options, folder)
    if before not in ("", image.docker("images", "--quiet", name).strip()):
        image.docker("rmi", "--force", before)
    return name


def _docker_build(*words: str, text: str = "") -> None:
    """With the engine's own builder: BuildKit's client is a plugin that Debian does not have."""
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    daemon.call(("docker", "build", "--quiet", *words), timeout_seconds=_BUILD_SECONDS, text=text, env=env)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def _digest(recipe: object) -> str:
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
