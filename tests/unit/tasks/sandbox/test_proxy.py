import asyncio
import socket
from pathlib import Path

import pytest

from tasks.sandbox import proxy


def test_allowed_is_what_the_sources_name(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# deb http://no.test/ x y\ndeb [a=b] http://one.test/debian x main\n")
    (tmp_path / "sources.list.d/two.sources").write_text("URIs: https://two.test/a http://three.test:8080/b\n")

    assert proxy.allowed(tmp_path) == {("one.test", 80), ("two.test", 443), ("three.test", 8080)}


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that answers with what it was sent."""
    writer.write(b"got " + await reader.readuntil(b"\r\n\r\n"))
    writer.close()


async def _ask(request: str, *, allow: bool) -> bytes:
    upstream = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    endpoints = frozenset({("127.0.0.1", port)}) if allow else frozenset()
    listening = socket.create_server(("127.0.0.1", 0))
    server = await proxy.serve(listening, endpoints)
    async with upstream, server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request.format(port=port).encode())
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    return answer.replace(str(port).encode(), b"PORT")


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        (
            "GET http://127.0.0.1:{port}/x HTTP/1.1\r\nHost: h\r\n\r\n",
            b"got GET http://127.0.0.1:PORT/x HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        (
            "CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nhello\r\n\r\n",
            b"HTTP/1.1 200 Connection established\r\n\r\ngot hello\r\n\r\n",
        ),
    ],
)
def test_what_is_allowed_is_forwarded(request_text: str, answer: bytes) -> None:
    assert asyncio.run(_ask(request_text, allow=True)) == answer


@pytest.mark.parametrize(
    "request_text",
    [
        "GET http://127.0.0.1:{port}/x HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET http://127.0.0.1:port/x HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_all_else_is_refused(request_text: str) -> None:
    assert asyncio.run(_ask(request_text, allow=False)).startswith(b"HTTP/1.1 403 Forbidden\r\n")
