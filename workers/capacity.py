"""How much a worker process takes on at once: by the settings, else by the machine's cores and memory."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

from config.settings import Settings
from tasks.workflows.model import Queue

logger = logging.getLogger(__name__)

# A tool waits for the other end most of its time: measured in docs/benchmarks/ansible.md.
SLOTS_A_CORE = 4
# A pool's process, what has Ansible loaded for it, and the tool: OpenTofu with a provider, or Ansible.
SLOT_BYTES = 300 * 1024**2
# Of a thread that waits: a connection to Redis, one to its host, and for the moments of a login its guard's.
FILES_A_THREAD = 8
MORE_FILES = 512
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def slots(queue: Queue, settings: Settings) -> int:
    """How many steps of `queue` one process runs at once."""
    if queue is Queue.WAIT:
        return settings.wait_threads
    return settings.tool_slots or tool_slots(cores(), memory_bytes())


def tool_slots(machine_cores: int, free_bytes: int) -> int:
    """How many tools a machine bears at once."""
    return max(1, min(SLOTS_A_CORE * machine_cores, free_bytes // SLOT_BYTES))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes(meminfo: Path = Path("/proc/meminfo"), limits: tuple[Path, ...] = _LIMITS) -> int:
    """What may still be used: what is free on the machine, but no more than the container's limit."""
    fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    found = [int(fields["MemAvailable"].split()[0]) * 1024]
    texts = (path.read_text(encoding="ascii").strip() for path in limits if path.exists())
    return min(found + [int(text) for text in texts if text.isdigit()])


def raise_file_limit(threads: int) -> None:
    """Have this process, and those that it starts, open as many files as so many threads need, if it may."""
    needed = threads * FILES_A_THREAD + MORE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < needed:
            logger.warning("Only %s files may be open, %s threads may need %s: raise the limit", most, threads, needed)
