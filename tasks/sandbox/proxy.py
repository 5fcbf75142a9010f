"""The way to packages for a host without a network: an HTTP proxy that listens inside the host only.

Its socket is made in the host's network namespace; what it forwards leaves from the machine's. It forwards to the hosts
that the machine's own package sources name, and refuses everything else.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

PORT = 3142
_SOURCE = re.compile(r"\bhttps?://[^\s\]]+")
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_UNREACHABLE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
_libc = ctypes.CDLL(None, use_errno=True)


def allowed(apt: Path) -> frozenset[tuple[str, int]]:
    """Host and port of every package source under `apt` (an /etc/apt)."""
    files = [*apt.glob("sources.list"), *apt.glob("sources.list.d/*.list"), *apt.glob("sources.list.d/*.sources")]
    lines = (line for file in files for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
    return frozenset(_endpoint(url) for line in lines for url in _SOURCE.findall(line))


def listening(pid: int) -> socket.socket:
    """A socket that listens on `PORT` of the loopback in the network namespace of process `pid`.

    Raises:
        OSError: the namespace cannot be entered, or the port is taken there.
    """
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        _enter(theirs)
        try:
            return socket.create_server(("127.0.0.1", PORT))
        finally:
            _enter(ours)
    finally:
        os.close(ours)
        os.close(theirs)


async def serve(sock: socket.socket, endpoints: frozenset[tuple[str, int]]) -> asyncio.Server:
    """Forward what connects to `sock` to one of `endpoints`, as each connection's first request asks."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _forward(reader, writer, endpoints)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(handle, sock=sock)


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoints: frozenset[tuple[str, int]]
) -> None:
    """One connection. Later requests on it go where the first one went, wherever they ask for."""
    head = await reader.readuntil(b"\r\n\r\n")
    target = _target(head)
    if target not in endpoints:
        writer.write(_REFUSED)
        return
    try:
        upstream_reader, upstream = await asyncio.open_connection(*target)
    except OSError:
        writer.write(_UNREACHABLE)
        return
    if head.startswith(b"CONNECT "):
        writer.write(_TUNNEL)
    else:
        upstream.write(head)
    try:
        await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
    finally:
        upstream.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _target(head: bytes) -> tuple[str, int] | None:
    """Where `GET http://host/path HTTP/1.1` or `CONNECT host:443 HTTP/1.1` wants to go."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split()
    if len(words) != 3:
        return None
    try:
        return _endpoint(f"https://{words[1]}" if words[0] == "CONNECT" else words[1])
    except ValueError:
        return None


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, 0x40000000):  # CLONE_NEWNET
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
