"""Hosts that come up late, for benchmarks/waiting.py: `python hosts.py PLAN`, JSON of a `Plan`.

Before its time a host refuses connections, or, as what stands in front of one may do, accepts and says nothing. Then an
SSH server lets everybody in: one for all, which answers any command in `answer_seconds`, and says of cloud-init that it
runs until that has had its time too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv4Address

import asyncssh

PORT = 2222
_FIRST = int(IPv4Address("127.9.0.1"))


@dataclass(frozen=True)
class Plan:
    """When things happen. began_at: Unix seconds; all other times in seconds after it.

    first, last: when the first and the last host comes up. cloud_seconds: how long cloud-init then takes.
    """

    count: int
    began_at: float
    first: float
    last: float
    cloud_seconds: float
    answer_seconds: float

    def up_at(self, number: int) -> float:
        """Unix seconds at which SSH answers."""
        return self.began_at + self.first + (self.last - self.first) * number / max(self.count - 1, 1)

    def ready_at(self, number: int) -> float:
        """Unix seconds at which cloud-init has ended."""
        return self.up_at(number) + self.cloud_seconds


def address(number: int) -> str:
    """Where host `number` is, on loopback."""
    return str(IPv4Address(_FIRST + number))


class _Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return bool(username)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        del key
        return bool(username)


async def _host(plan: Plan, number: int, key: asyncssh.SSHKey) -> None:
    """One host's life."""
    silent = await asyncio.start_server(_say_nothing, address(number), PORT) if number % 2 else None
    await asyncio.sleep(plan.up_at(number) - time.time())
    if silent:
        silent.close()

    async def answer(channel: asyncssh.SSHServerProcess[str]) -> None:
        await asyncio.sleep(plan.answer_seconds)
        if "cloud-init" in (channel.command or ""):
            done = time.time() >= plan.ready_at(number)
            channel.stdout.write(json.dumps({"status": "done" if done else "running", "errors": []}))
        channel.exit(0)

    await asyncssh.listen(
        address(number), PORT, server_host_keys=[key], server_factory=_Login, process_factory=answer, reuse_address=True
    )


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def _live(plan: Plan) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    await asyncio.gather(*(_host(plan, number, key) for number in range(plan.count)))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_live(Plan(**json.loads(sys.argv[1]))))
