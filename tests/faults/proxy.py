"""A TCP proxy before Redis, on loopback, that does what networks do: cut, hold back, slow down, lose a reply."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK_BYTES = 65_536

Command = tuple[bytes, ...]


@dataclass
class LostReply:
    """The reply of the `nth` command for which `matches` is true is lost, and its connection with it.

    done: Redis has executed the command, and the reply is gone.
    """

    matches: Callable[[Command], bool]
    nth: int = 1
    done: threading.Event = field(default_factory=threading.Event)
    seen: int = 0

    def is_it(self, command: Command) -> bool:
        """Count the command; whether it is the one."""
        if not self.matches(command):
            return False
        self.seen += 1
        return self.seen == self.nth


class Proxy:
    """Passes everything on, until told otherwise; each order stays until the next.

    url: of Redis, through the proxy. connections: how many were accepted.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._door = _door()
        credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.url = parts._replace(netloc=f"{credentials}127.0.0.1:{self._door.getsockname()[1]}").geturl()
        self.connections = 0
        self._open = threading.Event()
        self._flow = threading.Event()
        self._delay_seconds = 0.0
        self._closed = False
        self._losses: list[LostReply] = []
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._open.set()
        self._flow.set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def restore(self) -> None:
        """Accept and pass on, at once; what was held back goes on."""
        self._delay_seconds = 0.0
        self._flow.set()
        if not self._open.is_set():
            self._door.listen(512)
            self._open.set()

    def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        if self._open.is_set():
            self._open.clear()
            self._door.shutdown(socket.SHUT_RDWR)  # it refuses until it listens again
        self.drop()

    def drop(self) -> None:
        """Drop every connection; new ones are taken as before."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.close()

    def stall(self) -> None:
        """Accept, and hold everything back: a network that answers nothing."""
        self._flow.clear()

    def delay(self, seconds: float) -> None:
        """Pass everything on that much later, in both directions."""
        self._delay_seconds = seconds

    def lose_reply(self, matches: Callable[[Command], bool], nth: int = 1) -> LostReply:
        """Lose the reply of the nth such command after Redis has executed it."""
        loss = LostReply(matches, nth)
        self._losses.append(loss)
        return loss

    def close(self) -> None:
        """End the proxy."""
        self._closed = True
        self.cut()
        self._open.set()
        self._flow.set()
        self._door.close()

    def loss_for(self, commands: list[Command]) -> LostReply | None:
        """The loss that one of these commands is meant for."""
        with self._lock:
            for loss in self._losses:
                if sum(map(loss.is_it, commands)):  # each is counted
                    return loss
        return None

    def hold(self) -> None:
        """Wait as ordered before some bytes are passed on."""
        self._flow.wait()
        if self._delay_seconds:
            time.sleep(self._delay_seconds)

    def forget(self, pair: _Pair) -> None:
        """The pair is closed."""
        with self._lock:
            self._pairs.discard(pair)

    def _accept(self) -> None:
        while not self._closed:
            self._open.wait()
            with suppress(OSError):  # shut by `cut`, or Redis is away: the client is dropped
                client, _ = self._door.accept()
                self.connections += 1
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = _Pair(self, client, server)
        with self._lock:
            self._pairs.add(pair)
        pair.begin()
        if not self._open.is_set():
            pair.close()


class _Pair:
    """One connection through the proxy, a thread a direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = CommandReader()
        self._loss: LostReply | None = None

    def begin(self) -> None:
        for work in (self._requests, self._replies):
            threading.Thread(target=self._while_open, args=(work,), daemon=True).start()

    def close(self) -> None:
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._proxy.forget(self)

    def _while_open(self, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()
        self.close()

    def _requests(self) -> None:
        while data := self._client.recv(_CHUNK_BYTES):
            self._proxy.hold()
            self._loss = self._proxy.loss_for(self._reader.feed(data)) or self._loss
            self._server.sendall(data)

    def _replies(self) -> None:
        while data := self._server.recv(_CHUNK_BYTES):
            if self._loss:
                self._loss.done.set()
                return
            self._proxy.hold()
            self._client.sendall(data)


class CommandReader:
    r"""Commands out of a client's bytes, however these are cut: `*1\r\n$4\r\nPING\r\n` is `(b"PING",)`."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Command]:
        """The commands that are whole with these bytes."""
        self._buffer += data
        commands: list[Command] = []
        while found := self._take():
            command, rest = found
            commands.append(command)
            self._buffer = self._buffer[rest:]
        return commands

    def _take(self) -> tuple[Command, int] | None:
        head = self._number(b"*", 0)
        if head is None:
            return None
        count, at = head
        words: list[bytes] = []
        for _ in range(count):
            size = self._number(b"$", at)
            if size is None or len(self._buffer) < size[1] + size[0] + 2:
                return None
            words.append(self._buffer[size[1] : sum(size)])
            at = sum(size) + 2
        return tuple(words), at

    def _number(self, mark: bytes, at: int) -> tuple[int, int] | None:
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            return None
        if self._buffer[at : at + 1] != mark:
            raise ValueError(f"no command: {self._buffer[at : at + 40]!r}")
        return int(self._buffer[at + 1 : end]), end + 2


def _door() -> socket.socket:
    """A listening socket whose port stays ours when it is shut down: Linux keeps one that was asked for by number."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return socket.create_server(("127.0.0.1", port), backlog=512)


def script_call(digest: str) -> Callable[[Command], bool]:
    """Whether a command calls the script with this digest."""
    return lambda command: command[0].upper() == b"EVALSHA" and command[1] == digest.encode()


@contextmanager
def before(url: str) -> Iterator[Proxy]:
    """A proxy before the Redis at `url`, while the block lasts."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
