"""What is open of a host: SSH at its address, the package proxy inside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters import daemon
from tasks.sandbox import gate, namespaces, proxy
from tasks.sandbox.model import HostKind, Spec

logger = logging.getLogger(__name__)
_SSHD = ("/usr/sbin/sshd", "-i", "-e", "-o", "UseDNS=no")
_BACKLOG = 128


@dataclass(frozen=True)
class Doors:
    """An open host's listening ends. closers: what gives each back."""

    closers: tuple[Callable[[], object], ...]

    def close(self) -> None:
        """Give them all back; connections that are open end with the host."""
        for closer in self.closers:
            closer()


async def open_doors(spec: Spec, first: daemon.Started, home: Path) -> Doors:
    """Open what the specification says of the running host.

    Raises:
        OSError: its address is taken.
    """
    with contextlib.ExitStack() as opened:
        if spec.listen:
            sock = _bound(str(spec.address), spec.ssh_port)
            opened.callback(sock.close)
            opened.callback(await _ssh(spec, first, home, sock))
        if spec.kind is HostKind.LIGHT and spec.packages:
            endpoints = proxy.allowed(Path(f"/proc/{first.pid}/root/etc/apt"))
            server = await proxy.serve(proxy.listening(first.pid), endpoints)
            opened.callback(server.close)
        return Doors((opened.pop_all().close,))


async def _ssh(spec: Spec, first: daemon.Started, home: Path, sock: socket.socket) -> Callable[[], object]:
    """Answer on `sock`; returns what ends it."""
    if spec.kind is HostKind.ROOTLESS:
        return (await gate.listen(sock, first, home)).close
    argv = (*namespaces.enter(first, spec.kind), *_SSHD)
    return asyncio.create_task(_accept(sock, argv, home / "ssh.log")).cancel


async def _accept(sock: socket.socket, argv: tuple[str, ...], log: Path) -> None:
    """Give each connection to a program of its own."""
    loop = asyncio.get_running_loop()
    serving: set[asyncio.Task[None]] = set()
    while True:
        connection, _peer = await loop.sock_accept(sock)
        connection.setblocking(True)
        task = loop.create_task(_serve(argv, connection, log))
        serving.add(task)
        task.add_done_callback(serving.discard)


async def _serve(argv: tuple[str, ...], connection: socket.socket, log: Path) -> None:
    try:
        await daemon.serve(argv, connection, log)
    except OSError as error:
        logger.warning("a connection was dropped: %s", error)


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
