"""A cloud of real light hosts behind an API like Hetzner's, and its plugin. Each request makes one more host."""

from __future__ import annotations

import json
import platform
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tf import runner
from tf.utils import Diagnostics

from tasks.sandbox import api
from tasks.sandbox.model import HostKind, Spec
from tests.e2e import fire
from tests.unit.config.providers.stub import STUBS, Server, Stub
from tests.unit.config.providers.test_stub import _full_name

ROOT = Path(__file__).parents[2]
PLUGIN = "#!{python}\nimport sys\nsys.path.insert(0, {root!r})\nfrom tests.e2e import cloud\ncloud.serve()\n"


class Cloud:
    """The servers, by id. Nobody keeps it from making two for one name: that is what is tested."""

    def __init__(self, folder: Path, at: str) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._at = at
        self._numbers = count(41)

    def make(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One more server, whatever there is."""
        fire.reach(self._folder, self._at, "asked")
        number = str(next(self._numbers))
        host = api.create(
            Spec(
                name=f"{asked['name']}-{number}",
                kind=HostKind.LIGHT,
                directory=self._folder / "hosts",
                user_data=asked["user_data"],
                cloud_init=False,
            ),
            print,
        )
        kept = {key: value for key, value in asked.items() if value is not None}
        made = {**kept, "id": number, "ipv4_address": host.ip_address, "ipv6_address": "", "status": "running"}
        self.servers[number] = made
        fire.reach(self._folder, self._at, "made")
        return made

    def end(self, number: str) -> None:
        """One less."""
        api.destroy(self._folder / "hosts", f"{self.servers.pop(number)['name']}-{number}", print)

    def labelled(self, selector: str) -> list[dict[str, Any]]:
        """The servers with a label, as the API lists them."""
        label, _, value = selector.partition("==")
        found = (each for each in self.servers.values() if (each.get("labels") or {}).get(label) == value)
        return [{"id": int(each["id"]), "public_net": {"ipv4": {"ip": each["ipv4_address"]}}} for each in found]

    @contextmanager
    def serve(self) -> Iterator[str]:
        """The URL of the API."""
        handler = type("Handler", (_Handler,), {"cloud": self})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads, server.block_on_close = True, False
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        number = url.path.rpartition("/")[2]
        if number.isdigit():
            found = self.cloud.servers.get(number)
            self._answer(200 if found else 404, found or {})
        else:
            self._answer(200, {"servers": self.cloud.labelled(parse_qs(url.query)["label_selector"][0])})

    def do_POST(self) -> None:
        self._answer(201, self.cloud.make(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def do_DELETE(self) -> None:
        self.cloud.end(self.path.rpartition("/")[2])
        self._answer(200, {})

    def log_message(self, *_: object) -> None:
        """Not on the tests' output."""

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class CloudServer(Server):
    """A server that is there."""

    def __init__(self, provider: Any) -> None:
        self._servers = f"{provider.endpoint}/servers"

    def create(self, _context: object, planned: Any) -> Any:
        asked = {key: value for key, value in planned.items() if _plain(value)}
        return {**planned, **_computed(_ask("POST", self._servers, asked) or {})}

    def read(self, _context: object, current: Any) -> Any:
        found = _ask("GET", f"{self._servers}/{current['id']}")
        return {**current, **found} if found else None

    def delete(self, _context: object, current: Any) -> None:
        _ask("DELETE", f"{self._servers}/{current['id']}")

    def import_(self, context: object, id: str) -> Any:  # noqa: A002 - the library's name
        del context
        return _ask("GET", f"{self._servers}/{id}")


class Plugin(Stub):
    """hetznercloud/hcloud, whose servers are there."""

    endpoint = ""

    def configure_provider(self, _diags: Diagnostics, config: Any) -> None:
        self.endpoint = config["endpoint"]


def serve() -> None:
    """Be the plugin."""
    source, _, settings, _ = STUBS["hetzner"]
    runner.run_provider(Plugin(source, settings, CloudServer))


def mirror(folder: Path) -> Path:
    """A mirror of providers that holds the plugin."""
    source, version, *_ = STUBS["hetzner"]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    place = folder / "mirror" / _full_name(folder / "mirror", source) / version / f"linux_{machine}"
    place.mkdir(parents=True)
    plugin = place / f"terraform-provider-hcloud_v{version}"
    plugin.write_text(PLUGIN.format(python=sys.executable, root=str(ROOT)))
    plugin.chmod(0o755)
    return folder / "mirror"


def _plain(value: object) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _computed(server: dict[str, Any]) -> dict[str, Any]:
    return {key: server[key] for key in ("id", "ipv4_address", "ipv6_address", "status")}


def _ask(method: str, url: str, value: object = None) -> dict[str, Any] | None:
    data = None if value is None else json.dumps(value).encode()
    try:
        asked = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(asked, timeout=300) as answer:  # noqa: S310 - loopback
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
