"""StateServer: OpenTofu's `http` backend, on loopback, for the commands of this process only.

Protocol: https://opentofu.org/docs/language/settings/backends/http/
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import redis

from tasks.adapters import tofu_states
from tasks.adapters.tofu_states import Orphans
from tasks.errors import StepmarkError
from workers.orphans import OrphanStore, OwnOrphans
from workers.tofustate import Owner, TofuState

logger = logging.getLogger(__name__)

_MOST_BYTES = 64 * 1024 * 1024


class StateServer:
    """Serves a state for as long as a command needs it; each command has a password of its own."""

    def __init__(self, state: TofuState, orphans: OrphanStore) -> None:
        self.state = state
        self._orphans = orphans
        self.sessions: dict[str, Owner] = {}
        self._server: ThreadingHTTPServer | None = None
        self._lock = threading.Lock()

    @contextmanager
    def session(self, owner: Owner) -> Iterator[Mapping[str, str]]:
        """The TF_HTTP_* variables that reach the owner's state while the block lasts."""
        password = secrets.token_urlsafe(24)
        self.sessions[password] = owner
        try:
            yield self._variables(password)
        finally:
            del self.sessions[password]

    def orphans(self, owner: Owner) -> Orphans:
        """What the owner's commands need to know of states that came without the lock."""
        return OwnOrphans(self._orphans, self.state, owner)

    def _variables(self, password: str) -> dict[str, str]:
        port = self._listen().server_address[1]
        address = f"http://127.0.0.1:{port}/state"
        return {
            "TF_HTTP_ADDRESS": address,
            "TF_HTTP_LOCK_ADDRESS": address,
            "TF_HTTP_UNLOCK_ADDRESS": address,
            "TF_HTTP_USERNAME": "stepmark",
            "TF_HTTP_PASSWORD": password,
            "TF_HTTP_RETRY_MAX": "3",
            "TF_HTTP_RETRY_WAIT_MIN": "1",
        }

    def _listen(self) -> ThreadingHTTPServer:
        with self._lock:
            if self._server is None:
                handler = type("Handler", (_Handler,), {"states": self})
                self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
                self._server.daemon_threads = True
                threading.Thread(target=self._server.serve_forever, name="state-server", daemon=True).start()
            return self._server

    def owner(self, authorization: str) -> Owner | None:
        """Whose password an Authorization header holds."""
        try:
            given = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")[2]
        except ValueError:
            return None
        for password, owner in list(self.sessions.items()):
            if hmac.compare_digest(password, given):
                return owner
        return None


class _Handler(BaseHTTPRequestHandler):
    states: StateServer

    def handle_one_request(self) -> None:
        """Answer one request; what goes wrong here is OpenTofu's to report, as a refused state."""
        try:
            super().handle_one_request()
        except (redis.RedisError, StepmarkError) as error:
            logger.warning("The state store refused a request: %s", error)
            self._answer(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        except ValueError as error:
            logger.warning("A request to the state store cannot be read: %s", error)
            self._answer(HTTPStatus.BAD_REQUEST, str(error))

    def do_GET(self) -> None:
        if owner := self._owner():
            content = self.states.state.load(owner.environment)
            self._answer(HTTPStatus.NO_CONTENT if content is None else HTTPStatus.OK, content or b"")

    def do_POST(self) -> None:
        if owner := self._owner():
            lock_id = parse_qs(urlsplit(self.path).query).get("ID", [""])[0]
            content = self._body()
            tofu_states.read(content)
            saved = self.states.state.save(owner, lock_id, content)
            self._answer(
                HTTPStatus.OK if saved else HTTPStatus.CONFLICT, "" if saved else "kept as an orphan: not locked"
            )

    def do_DELETE(self) -> None:
        if self._owner():
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "states are not deleted this way")

    def do_LOCK(self) -> None:
        if owner := self._owner():
            info = json.loads(self._body())
            self._held(self.states.state.lock(owner, {**info, "Who": f"{info.get('Who')} {owner.name}"}))

    def do_UNLOCK(self) -> None:
        if owner := self._owner():
            body = self._body()
            self._held(self.states.state.unlock(owner.environment, json.loads(body)["ID"] if body else ""))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        logger.debug(format, *args)

    def _owner(self) -> Owner | None:
        owner = self.states.owner(self.headers.get("Authorization", ""))
        if owner is None:
            self._answer(HTTPStatus.UNAUTHORIZED, "")
        return owner

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MOST_BYTES:
            raise _TooLargeError(length)
        content = self.rfile.read(length)
        if len(content) < length:
            raise ValueError(f"it was cut off after {len(content)} of {length} bytes")
        return content

    def _held(self, holder: str | None) -> None:
        self._answer(HTTPStatus.OK if holder is None else HTTPStatus.LOCKED, holder or "")

    def _answer(self, status: HTTPStatus, content: str | bytes) -> None:
        body = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _TooLargeError(StepmarkError):
    def __str__(self) -> str:
        return f"a state of {self.args[0]} bytes is too large to keep"
