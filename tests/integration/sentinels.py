"""A master, its replica, and three Sentinels that watch them; all processes of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults import server
from tests.faults.server import Server
from tests.integration.certificates import Authority
from tests.support import poll

# In capitals too: a name, unlike a host's, is not the same in lower case.
MASTER = "Fleet-1"
PASSWORD = "of/the@servers"
SENTINEL_PASSWORD = "of the sentinels"
DOWN_SECONDS = 1.0


class Watched:
    """The servers, by who is the master at first; and the ports of the Sentinels."""

    def __init__(self, servers: Sequence[Server], sentinels: Sequence[int]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    def variables(self, folder: Path) -> dict[str, str]:
        """What those are told who reach the master through the Sentinels; passwords are in files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, password in (("password", PASSWORD), ("sentinel_password", SENTINEL_PASSWORD)):
            (folder / name).write_text(password)
        return {
            "STEPMARK_REDIS_URL": f"redis://{MASTER}/0",
            "STEPMARK_REDIS_SENTINELS": ",".join(f"127.0.0.1:{port}" for port in self.sentinels),
            "STEPMARK_REDIS_PASSWORD_FILE": str(folder / "password"),
            "STEPMARK_REDIS_SENTINEL_PASSWORD_FILE": str(folder / "sentinel_password"),
        }

    def master(self) -> int:
        """The port of the master, as the first Sentinel that answers knows it."""
        for port in self.sentinels:
            with _client(port, SENTINEL_PASSWORD) as client:
                return int(client.sentinel_get_master_addr_by_name(MASTER)[1])
        raise AssertionError("no Sentinel answers")

    def promoted(self) -> bool:
        """Whether the Sentinels have put the second server in the place of the first."""
        return self.master() == self.servers[1].port

    def role(self, one: Server) -> str:
        """`master` or `slave`; empty: a Sentinel has just told it to be another, and it closes its connections."""
        try:
            with _client(one.port, PASSWORD) as client:
                return str(client.info("replication")["role"])
        except redis.ConnectionError:
            return ""


@contextmanager
def running(folder: Path, **options: str) -> Iterator[Watched]:
    """All of them while the block lasts. options: of both servers."""
    with ExitStack() as stack:
        options = {
            "requirepass": PASSWORD,
            "masterauth": PASSWORD,
            "repl_diskless_sync_delay": "0",
        } | options
        first = stack.enter_context(server.running(folder / "first", **options))
        master = f"127.0.0.1 {first.port}"
        second = stack.enter_context(server.running(folder / "second", replicaof=master, **options))
        with _client(first.port, PASSWORD) as client:
            poll(lambda: client.info("replication").get("slave0", {}).get("state") == "online")
        ports = [server.free_port() for _ in range(3)]
        for port in ports:
            stack.enter_context(_sentinel(folder / f"sentinel-{port}", f"port {port}", master=f"{master} 2"))
        for port in ports:
            poll(lambda port=port: _knows(port) == (1, 2), seconds=30)
        yield Watched((first, second), ports)


@contextmanager
def running_by_tls(folder: Path, program: Path) -> Iterator[tuple[Watched, Authority]]:
    """One server, and one Sentinel that knows it; both are reached by TLS only, but by us."""
    authority = Authority(folder)
    certificate, key = authority.vouch("redis", "127.0.0.1")
    files = {"tls_cert_file": certificate, "tls_key_file": key, "tls_ca_cert_file": authority.file}
    options = {name: str(path) for name, path in files.items()} | {"tls_auth_clients": "no", "tls_replication": "yes"}
    port, sentinel, plain = (server.free_port() for _ in range(3))
    tls = (f"{name.replace('_', '-')} {value}" for name, value in options.items())
    with (
        server.running(folder / "only", program, tls_port=str(port), requirepass=PASSWORD, **options) as only,
        _sentinel(
            folder / "sentinel",
            f"port {plain}",
            f"tls-port {sentinel}",
            *tls,
            master=f"127.0.0.1 {port} 1",
            program=program,
        ),
    ):
        poll(lambda: _knows(plain) == (0, 0), seconds=30)
        yield Watched((only,), (sentinel,)), authority


@contextmanager
def _sentinel(folder: Path, *options: str, master: str, program: Path | None = None) -> Iterator[None]:
    """A Sentinel while the block lasts. master: its address, and how many must take it for dead."""
    folder.mkdir()
    lines = (
        *options,
        "bind 127.0.0.1",
        f'dir "{folder}"',
        f'requirepass "{SENTINEL_PASSWORD}"',
        f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
        f"sentinel monitor {MASTER} {master}",
        f'sentinel auth-pass {MASTER} "{PASSWORD}"',
        f"sentinel down-after-milliseconds {MASTER} {DOWN_SECONDS * 1000:.0f}",
        f"sentinel failover-timeout {MASTER} 10000",
    )
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
    with (folder / "sentinel.log").open("ab") as log:
        process = subprocess.Popen(
            ("redis-server", str(folder / "sentinel.conf"), "--sentinel"),
            executable=program or server.programs()[0],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _knows(port: int) -> tuple[int, int] | None:
    """How many replicas and how many other Sentinels one knows; None if it does not know the master."""
    with _client(port, SENTINEL_PASSWORD) as client:
        try:
            state = client.sentinel_masters().get(MASTER, {})
        except redis.RedisError:
            return None
    if not state or state["flags"] != "master":
        return None
    return state["num-slaves"], state["num-other-sentinels"]


def _client(port: int, password: str) -> redis.Redis:
    return redis.Redis(
        port=port, password=password, decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0)
    )
