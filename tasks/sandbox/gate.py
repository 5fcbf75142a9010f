"""SSH for a rootless host: served by this process as a plain user, each command run inside the host."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
from pathlib import Path
from typing import Protocol, cast

import asyncssh

from tasks.adapters import daemon
from tasks.sandbox import namespaces
from tasks.sandbox.model import HostKind

_BLOCK = 65536
_SIGNALS = (asyncssh.SignalReceived, asyncssh.BreakReceived)
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


async def listen(sock: socket.socket, first: daemon.Started, home: Path) -> asyncssh.SSHAcceptor:
    """Answer on `sock` for the host whose process 1 is `first` and whose root is `home/root`."""
    root = home / "root"

    async def process(channel: asyncssh.SSHServerProcess[bytes]) -> None:
        await _Command(channel, first, root).run()

    return await asyncssh.listen(
        sock=sock,
        server_factory=lambda: _Login(root),
        server_host_keys=[str(root / HOST_KEY)],
        process_factory=process,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        encoding=None,
        line_editor=False,
        agent_forwarding=False,
    )


def user_home(root: Path, user: str) -> str | None:
    """The home directory of `user` in the host's /etc/passwd; None: no such user."""
    for line in (root / "etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == user:
            return fields[5]
    return None


class _Login(asyncssh.SSHServer):
    """Lets in by the keys that the user's authorized_keys in the host has."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        home = user_home(self._root, username)
        keys = self._root / f"{home}/.ssh/authorized_keys".lstrip("/")
        if home and keys.is_file():
            self._connection.set_authorized_keys(str(keys))
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False


class _Command:
    """One command, or a login shell, in the host."""

    def __init__(self, channel: asyncssh.SSHServerProcess[bytes], first: daemon.Started, root: Path) -> None:
        self._channel = channel
        user = channel.get_extra_info("username")
        home = user_home(root, user) or "/"
        variables = {"HOME": home, "USER": user, "LOGNAME": user, "PATH": namespaces.ROOTLESS_PATH, "SHELL": "/bin/sh"}
        if channel.term_type:
            variables["TERM"] = channel.term_type
        shell = ("sh", "-c", channel.command) if channel.command else ("sh", "-l")
        terminal = ("setsid", "--ctty", "--wait") if channel.term_type else ()
        change = ("sh", "-c", 'cd "$HOME"; exec "$@"', "sh")
        given = ("env", "-i", *(f"{key}={value}" for key, value in variables.items()))
        self._argv = (*namespaces.enter(first, HostKind.ROOTLESS), *given, *change, *terminal, *shell)

    async def run(self) -> None:
        """Run it to its end, and hand its exit status on."""
        status = await (self._on_terminal() if self._channel.term_type else self._on_pipes())
        self._channel.exit(status if status >= 0 else 128 - status)

    async def _on_pipes(self) -> int:
        pipe = asyncio.subprocess.PIPE
        process = await daemon.spawn(self._argv, stdin=pipe, stdout=pipe, stderr=pipe)
        feeding = asyncio.create_task(_feed(self._channel.stdin, cast("asyncio.StreamWriter", process.stdin)))
        outputs = cast("tuple[asyncio.StreamReader, ...]", (process.stdout, process.stderr))
        sinks = (self._channel.stdout, self._channel.stderr)
        await asyncio.gather(*map(_copy, outputs, sinks))
        feeding.cancel()
        if self._channel.is_closing():  # nobody is there to take its output any more
            _hang_up(process.pid)
        return await process.wait()

    async def _on_terminal(self) -> int:
        ours, theirs = os.openpty()
        width, height, *_pixels = self._channel.term_size
        _resize(theirs, width, height)
        process = await daemon.spawn(self._argv, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        typing = asyncio.create_task(self._type(ours))
        shown = asyncio.StreamReader()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(shown), terminal)
            await _copy(shown, self._channel.stdout)
            typing.cancel()
        return await process.wait()

    async def _type(self, terminal: int) -> None:
        """Hand on what is typed, and how large the window is."""
        while True:
            try:
                data = await self._channel.stdin.read(_BLOCK)
            except asyncssh.TerminalSizeChanged as change:
                _resize(terminal, change.width, change.height)
                continue
            except _SIGNALS:
                continue
            if not data:
                return
            os.write(terminal, data)


class _Source(Protocol):
    async def read(self, n: int = -1, /) -> bytes: ...


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...

    async def drain(self) -> None: ...


async def _feed(source: _Source, sink: asyncio.StreamWriter) -> None:
    await _copy(source, sink)
    sink.close()


async def _copy(source: _Source, sink: _Sink) -> None:
    """Until `source` ends, or nobody takes from `sink` any more."""
    with contextlib.suppress(OSError, *_SIGNALS):
        while data := await source.read(_BLOCK):
            sink.write(data)
            await sink.drain()


def _resize(terminal: int, width: int, height: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def _hang_up(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGHUP)
