"""Redis behind TLS, with certificates on both sides: clients, broker, Flower and beat ask for the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from config import celeryconfig
from config.settings import Settings
from tests.faults import server
from tests.integration import installation
from tests.integration.certificates import Authority
from tests.integration.installation import Flower
from tests.support import poll
from workers import connection


@dataclass(frozen=True)
class Secured:
    """A Redis that is reached by TLS only, and asks who comes. Its certificate is for 127.0.0.1, not for localhost."""

    port: int
    authority: Authority
    stranger: Authority
    ours: tuple[Path, Path]

    def variables(self, **changed: str | Path | None) -> dict[str, str]:
        """What its clients are told; None takes a variable away."""
        found = {
            "STEPMARK_REDIS_URL": f"rediss://127.0.0.1:{self.port}/0",
            "STEPMARK_REDIS_CA_FILE": self.authority.file,
            "STEPMARK_REDIS_CERT_FILE": self.ours[0],
            "STEPMARK_REDIS_KEY_FILE": self.ours[1],
        }
        told = found | {f"STEPMARK_REDIS_{name.upper()}": value for name, value in changed.items()}
        return {name: str(value) for name, value in told.items() if value}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, tls_program: Path) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    certificate, key = authority.vouch("redis", "127.0.0.1")
    port = server.free_port()
    options = {
        "tls_port": str(port),
        "tls_cert_file": str(certificate),
        "tls_key_file": str(key),
        "tls_ca_cert_file": str(authority.file),
    }
    with server.running(folder / "redis", tls_program, **options):
        yield Secured(port, authority, Authority(folder, "stranger"), authority.vouch("stepmark"))


def test_workers_beat_flower_and_commands_reach_redis_by_tls(secured: Secured, tmp_path: Path) -> None:
    with installation.made(tmp_path, **secured.variables()) as found:
        fleet = found.fleet({"name": "often", "workflow": "configure", "select": "all", "every": "2s"}, web_1={})
        found.variables["STEPMARK_FLEET_FILE"] = str(fleet)
        flower = Flower(found)
        found.worker()
        poll(lambda: flower.workers() == ["w0@test"])
        flower.wait_until_it_asks()

        assert found.stepmark("register", fleet).status == 0
        assert found.stepmark("schedule", "apply", fleet).status == 0
        found.start(
            "beat", "-m", "celery", "-A", "workers", "beat", "--scheduler", "workers.beat:Scheduler", "--pidfile", ""
        )

        poll(lambda: "web-1 ansible.firewall" in found.steps)
        poll(lambda: "web-1 configure 4/4 configure-firewall" in flower.tasks())
        poll(lambda: {"name": "tools", "messages": 0} in flower.queues())
        assert {"name": "redis", "verdict": "ok", "detail": "7.0.15", "advice": ""} in (
            found.stepmark("doctor", "--json").json["checks"]
        )


CASES = {
    "the right one": ({}, None),
    "whom the system trusts": ({"ca_file": None}, "certificate verify failed"),
    "another authority": ({"ca_file": "stranger"}, "certificate verify failed"),
    "nothing is verified": ({"ca_file": None, "verify": "none"}, None),
    # It hears why, or only that the connection is closed: whichever of both is there first.
    "no certificate of ours": ({"cert_file": None, "key_file": None}, "certificate required|EOF occurred|closed|reset"),
    "another host name": ({"url": "localhost"}, "Hostname mismatch"),
    "another host name, chain only": ({"url": "localhost", "verify": "chain"}, None),
    "another authority, chain only": ({"ca_file": "stranger", "verify": "chain"}, "certificate verify failed"),
}


@pytest.fixture
def chosen(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str | None]], Settings]:
    def settings(changed: dict[str, str | None]) -> Settings:
        told: dict[str, str | Path | None] = dict(changed)
        if "url" in changed:
            told["url"] = f"rediss://{changed['url']}:{secured.port}/0"
        if changed.get("ca_file"):
            told["ca_file"] = secured.stranger.file
        for name, value in secured.variables(**told).items():
            monkeypatch.setenv(name, value)
        return Settings()

    return settings


@pytest.mark.parametrize(("changed", "refused"), CASES.values(), ids=CASES)
def test_our_client_asks_for_the_right_certificate(
    chosen: Callable[[dict[str, str | None]], Settings], changed: dict[str, str | None], refused: str | None
) -> None:
    client = connection.connect(chosen(changed), hurried=True)

    if refused is None:
        assert client.ping()
        return
    with pytest.raises(redis.ConnectionError, match=refused):
        client.ping()


@pytest.mark.parametrize(("changed", "refused"), CASES.values(), ids=CASES)
def test_the_broker_asks_for_the_right_certificate(
    chosen: Callable[[dict[str, str | None]], Settings], changed: dict[str, str | None], refused: str | None
) -> None:
    app = Celery(set_as_current=False)
    app.conf.update(celeryconfig.build(chosen(changed)))

    with app.connection_for_write() as broker:
        if refused is None:
            assert broker.ensure_connection(max_retries=1).default_channel.client.ping()
            return
        with pytest.raises(OperationalError, match=refused):
            broker.ensure_connection(max_retries=1, interval_start=0)


def test_a_worker_with_the_wrong_authority_takes_no_step(secured: Secured, tmp_path: Path) -> None:
    """It neither reaches Redis nor ends, and says why."""
    with installation.made(tmp_path, **secured.variables(ca_file=secured.stranger.file)) as found:
        worker = found.start("w0", "-m", "celery", "-A", installation.SCRIPTED, "worker", "-Q", "wait")
        poll(lambda: "Cannot connect to rediss://" in found.log("w0"))

        assert "certificate verify failed" in found.log("w0")
        assert worker.poll() is None
        said = found.stepmark("status")
        assert said.status == 4
        assert "certificate verify failed" in said.err
