"""The one process that answers for all light and rootless hosts: `python -m tasks.sandbox.listener DIRECTORY`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from tasks import errors
from tasks.adapters import daemon
from tasks.sandbox import control, namespaces, store
from tasks.sandbox.doors import Doors, open_doors
from tasks.sandbox.model import Spec

logger = logging.getLogger(__name__)


class Listener:
    """The open hosts, by name; a host that dies is closed at once, so that its address refuses."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, tuple[daemon.Started, Spec, Doors]] = {}
        # One at a time: the start-up's own round may meet a request for the same host.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Open every host that runs, then do as told until this process is ended."""
        with control.short(self._directory) as path:
            Path(path).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._answer, path)
        for name in store.names(self._directory):
            error = await self._do("open", name)
            if error:
                logger.warning("host %s: %s", name, error)
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line:
            request = json.loads(line)
            error = await self._do(request["verb"], request["name"])
            writer.write(json.dumps({"error": error, "hosts": len(self._open)}).encode() + b"\n")
        writer.close()

    async def _do(self, verb: str, name: str) -> str:
        """Do it, and return what went wrong, if anything did."""
        try:
            async with self._turn:
                if verb == "open":
                    await self._open_host(name)
                elif verb == "close":
                    self._close(name)
        except (OSError, ValueError, errors.StepmarkError) as error:
            return str(error)
        return ""

    async def _open_host(self, name: str) -> None:
        home = store.home(self._directory, name)
        spec, first = store.load(self._directory, name), namespaces.running(home)
        if name in self._open and self._open[name][:2] == (first, spec):
            return
        self._close(name)
        if spec is None or first is None:
            raise errors.SandboxError("it does not run")
        self._open[name] = first, spec, await open_doors(spec, first, home)
        self._watch(name, first)

    def _close(self, name: str) -> None:
        if name in self._open:
            self._open.pop(name)[-1].close()

    def _watch(self, name: str, first: daemon.Started) -> None:
        """Close the host when its process 1 ends."""
        loop = asyncio.get_running_loop()
        handle = os.pidfd_open(first.pid)

        def ended() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            if name in self._open and self._open[name][0] == first:
                self._close(name)

        loop.add_reader(handle, ended)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(Listener(Path(sys.argv[1])).run())
