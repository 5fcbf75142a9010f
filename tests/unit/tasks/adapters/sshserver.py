"""A real SSH server on loopback, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncssh

Answer = tuple[int, str, str]


def _true(command: str) -> Answer:
    return (0 if command == "true" else 127), "", ""


@dataclass
class Server:
    """answer: exit status, stdout and stderr of a command; ConnectionError breaks the connection off.

    let_in: the public keys accepted. asked: the commands. logins: how many came so far as to show a key.
    """

    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    client_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    answer: Callable[[str], Answer] = _true
    let_in: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    logins: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self.let_in.add(public(self.client_key))

    @contextmanager
    def listening(self) -> Iterator[Server]:
        """Listen on `port`; on a free one, which is then `port`, if that is 0."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        acceptor = asyncio.run_coroutine_threadsafe(self._listen(), loop).result(10)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(acceptor), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        acceptor = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_host_keys=[self.host_key],
            server_factory=lambda: _Login(self),
            process_factory=self._process,
            reuse_address=True,
        )
        self.port = acceptor.get_port()
        return acceptor

    async def _close(self, acceptor: asyncssh.SSHAcceptor) -> None:
        acceptor.close()
        await acceptor.wait_closed()

    def _process(self, channel: asyncssh.SSHServerProcess[str]) -> None:
        command = channel.command or ""
        self.asked.append(command)
        try:
            status, stdout, stderr = self.answer(command)
        except ConnectionError:
            channel.get_extra_info("connection").abort()
            return
        channel.stdout.write(stdout)
        channel.stderr.write(stderr)
        channel.exit(status)


class _Login(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self._server = server

    def begin_auth(self, username: str) -> bool:
        return bool(username)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._server.logins += 1
        return username == "root" and public(key) in self._server.let_in


def public(key: asyncssh.SSHKey) -> str:
    """The public half, as `ssh-ed25519 AAAA…`."""
    return " ".join(key.export_public_key().decode().split()[:2])
