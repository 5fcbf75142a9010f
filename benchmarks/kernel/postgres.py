"""A PostgreSQL of one's own, on loopback, for the peers whose manuals recommend it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import poll


@contextmanager
def running() -> Iterator[str | None]:
    """Its URL without a database's name; None: there is none on this machine."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        yield None
        return
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name  # as root it does not start
    with tempfile.TemporaryDirectory(prefix="stepmark-pg-") as name:
        folder = Path(name)
        shutil.chown(folder, user)
        initdb = ("initdb", "--pgdata", str(folder / "data"), "--username", "postgres", "--auth", "trust")
        subprocess.run(initdb, user=user, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        with _server(folder, user) as url:
            yield url


@contextmanager
def _server(folder: Path, user: str) -> Iterator[str]:
    port = _free_port()
    argv = ("postgres", "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder))
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(argv, user=user, stdout=log, stderr=log, cwd=folder)
    url = f"postgresql://postgres@127.0.0.1:{port}"
    try:
        poll(lambda: _answers(url), seconds=30)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # it does not wait for those who are connected
        process.wait(30)


def _answers(url: str) -> bool:
    asked = ("psql", f"{url}/postgres", "-c", "select 1")
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def fresh(url: str, name: str) -> str:
    """The URL of a new, empty database."""
    for words in (f"drop database if exists {name} with (force)", f"create database {name}"):
        subprocess.run(("psql", f"{url}/postgres", "-qc", words), check=True, capture_output=True)  # noqa: S607
    return f"{url}/{name}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
