"""A state store on loopback, as OpenTofu's http backend wants it; it refuses when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Store:
    """state: as last written. refuse: the status that a method is answered with, by method."""

    def __init__(self) -> None:
        self.state: bytes | None = None
        self.lock: bytes | None = None
        self.refuse: dict[str, int] = {}

    def answer(self, method: str, body: bytes) -> tuple[int, bytes]:
        if method in self.refuse:
            return self.refuse[method], b""
        match method:
            case "GET":
                return (200, self.state) if self.state else (404, b"")
            case "POST":
                self.state = body
            case "LOCK":
                if self.lock:
                    return 423, self.lock
                self.lock = body
            case "UNLOCK":
                self.lock = None
        return 200, b""

    @contextmanager
    def serve(self) -> Iterator[Mapping[str, str]]:
        """The variables that reach it, on a port that is another one each time."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = store.answer(self.command, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_LOCK = do_UNLOCK = handle_any  # noqa: N815 - http.server looks for these names

            def log_message(self, *_: object) -> None:
                """Not on the tests' output."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            url = f"http://127.0.0.1:{server.server_port}/state"
            try:
                names = ("TF_HTTP_ADDRESS", "TF_HTTP_LOCK_ADDRESS", "TF_HTTP_UNLOCK_ADDRESS")
                yield {**dict.fromkeys(names, url), "TF_HTTP_RETRY_MAX": "0"}
            finally:
                server.shutdown()
                thread.join()
