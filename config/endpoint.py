"""Endpoint: how Redis is reached, for our own clients and for the broker alike: login, database, TLS, Sentinels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from config.secrets import SecretRef
from config.settings import Settings

_SENTINEL_PORT = 26_379
# A Sentinel that is gone must not keep us from asking the next one.
_SENTINEL_SECONDS = 2.0


@dataclass(frozen=True)
class Endpoint:
    """One Redis. login: user and password. tls: redis-py's options for it; empty: no TLS.

    sentinels: who is asked where the master is; empty: `url` says it. master: its name there.
    sentinel: redis-py's options for the connections to them.
    """

    url: str
    database: int
    login: Mapping[str, str]
    tls: Mapping[str, Any]
    sentinels: tuple[tuple[str, int], ...]
    master: str
    sentinel: Mapping[str, Any]


def of(settings: Settings) -> Endpoint:
    """Where the settings say that Redis is.

    Raises:
        config.errors.SecretError: the Sentinels' password cannot be read.
    """
    url = settings.redis_url.get_secret_value()
    parts = urlsplit(url)
    tls = _tls(settings) if parts.scheme == "rediss" else {}
    return Endpoint(
        url=url,
        database=int(parts.path.strip("/") or 0),
        login={
            name: unquote(word) for name, word in (("username", parts.username), ("password", parts.password)) if word
        },
        tls=tls,
        sentinels=_addresses(settings),
        master=parts.netloc.rpartition("@")[2],  # `hostname` would be in lower case
        sentinel=_sentinel(settings, tls),
    )


def broker(settings: Settings) -> dict[str, Any]:
    """Celery's settings that say where the broker is; its options beside them are for `broker_transport_options`."""
    at = of(settings)
    options: dict[str, Any] = {"global_keyprefix": settings.broker_prefix}
    url = at.url
    if at.sentinels:
        login = urlsplit(url).netloc.rpartition("@")[0]
        hosts = (f"[{host}]" if ":" in host else host for host, _ in at.sentinels)
        places = zip(hosts, (port for _, port in at.sentinels), strict=True)
        url = ";".join(f"sentinel://{login}{'@' if login else ''}{host}:{port}/{at.database}" for host, port in places)
        options |= {"master_name": at.master, "sentinel_kwargs": dict(at.sentinel)}
    # Without it, the broker's TLS would take any certificate.
    return {"broker_url": url, "broker_use_ssl": dict(at.tls) or None, "broker_transport_options": options}


def _tls(settings: Settings) -> dict[str, Any]:
    """What the settings say, and above them what the URL itself does: `rediss://…?ssl_cert_reqs=none`."""
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    found: dict[str, Any] = {
        "ssl_cert_reqs": "none" if settings.redis_verify == "none" else "required",
        "ssl_check_hostname": settings.redis_verify == "full",
        **{name: str(path.expanduser()) for name, path in files.items() if path},
    }
    query = dict(parse_qsl(urlsplit(settings.redis_url.get_secret_value()).query))
    said: dict[str, Any] = {name: value for name, value in query.items() if name.startswith("ssl_")}
    if "ssl_check_hostname" in said:
        said["ssl_check_hostname"] = said["ssl_check_hostname"].lower() not in ("0", "f", "false", "n", "no")
    return found | said


def _addresses(settings: Settings) -> tuple[tuple[str, int], ...]:
    parts = [urlsplit(f"//{part}") for part in (settings.redis_sentinels or "").split(",") if part]
    return tuple((part.hostname or "", part.port or _SENTINEL_PORT) for part in parts)


def _sentinel(settings: Settings, tls: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "socket_timeout": _SENTINEL_SECONDS,
        "socket_connect_timeout": _SENTINEL_SECONDS,
        "retry": None,  # the next Sentinel is asked instead
        **({"ssl": True, **tls} if tls else {}),
    }
    if file := settings.redis_sentinel_password_file:
        found["password"] = SecretRef(reference=f"file:{file.expanduser()}").resolve()
    return found
