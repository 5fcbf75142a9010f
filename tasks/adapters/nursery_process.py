"""The nursery: a process that has Ansible loaded, and forks a guard with a play under it for each request.

`nursery.py` starts it as a script, `python -I nursery_process.py SOCKET`, and is at the far end of SOCKET. `ready` is
said once, when all is loaded. A request is JSON, and comes with files: the play's standard streams, the guard's control
socket, and a pipe from which the guard waits for a byte before it begins: without one nobody knows of it, and it ends.
The answer is the guard's process id, and a handle of it. The nursery ends when the far end is closed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ansible import constants
from ansible.cli import playbook
from ansible.plugins import loader

from tasks.adapters import guard

REAP_SECONDS = 1.0
REQUEST_BYTES = 1 << 20
FILES = 5
# Modules as they go to hosts. To put one together takes a tenth of a second and more.
MODULES = "ansiballz_cache"
# What a play looks through, and what it uses besides. Each would load them anew, and their manuals with them.
ALL_OF = (
    *(loader.become_loader, loader.callback_loader, loader.connection_loader, loader.filter_loader),
    *(loader.shell_loader, loader.test_loader, loader.vars_loader),
)
SOME_OF = {
    loader.action_loader: ("normal", "raw", "copy", "template"),
    loader.inventory_loader: ("yaml",),
    loader.lookup_loader: ("template",),
    loader.strategy_loader: ("linear",),
}


def load() -> None:
    """Load what plays need, before there is one."""
    loader.init_plugin_loader()
    # Each play does so again, and would be told so.
    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
    for plugins in ALL_OF:
        list(plugins.all(class_only=True))
    for plugins, names in SOME_OF.items():
        for name in names:
            plugins.get(f"ansible.builtin.{name}", class_only=True)
    Path(constants.DEFAULT_LOCAL_TMP, MODULES).mkdir(mode=0o700)
    gc.collect()
    gc.freeze()  # what the collector does not touch is shared with all children


def serve(requests: socket.socket) -> None:
    """Fork for each request, until the far end is closed."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        ready = poll.poll(REAP_SECONDS * 1000 if reap() else None)
        if not ready:
            continue
        content, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, FILES)
        if not content:
            return
        answer(requests, content, files)


def reap() -> bool:
    """Let go of the children that have ended. Whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def answer(requests: socket.socket, content: bytes, files: list[int]) -> None:
    """Fork a guard, and tell who it is."""
    pid = os.fork()
    if pid == 0:
        become_guard(json.loads(content), files)
    handle = os.pidfd_open(pid)
    socket.send_fds(requests, [str(pid).encode()], [handle])
    for each in (*files, handle):
        os.close(each)


def become_guard(request: dict[str, Any], files: list[int]) -> NoReturn:
    """Turn this child into the guard of a play."""
    status = 1
    try:
        os.setsid()
        *_, control, gate = range(FILES)
        for number, each in enumerate(files):  # they came in order, so none is overwritten before its turn
            os.dup2(each, number)
        os.closerange(FILES, 1 << 20)
        if os.read(gate, 1):
            os.close(gate)
            os.environ.clear()
            os.environ.update(request["env"])
            os.chdir(request["cwd"])
            status = guard.main(control, request["times"], request["argv"], play)
    except BaseException:  # noqa: BLE001 - nothing may go on here as if it were the nursery
        traceback.print_exc()
    finally:
        os._exit(status)


def play(argv: list[str]) -> int:
    """Be `ansible-playbook`, in a child of the guard: its exit status."""
    os.closerange(3, 1 << 20)  # as an exec would do; while we held the guard's socket, its death would go unseen
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        Path("/proc/self/comm").write_text("ansible-play", encoding="utf-8")
        with _folder_of_its_own(Path(os.environ["ANSIBLE_LOCAL_TEMP"])):
            playbook.main(argv)
    except SystemExit as ending:
        return int(ending.code or 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - so ends any program in Python
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


@contextlib.contextmanager
def _folder_of_its_own(folder: Path) -> Iterator[None]:
    """Have the play keep its temporary files in `folder`; modules, once put together, are there for later plays."""
    ours, shared = folder / MODULES, Path(constants.DEFAULT_LOCAL_TMP, MODULES)
    ours.mkdir(mode=0o700, parents=True)
    constants.DEFAULT_LOCAL_TMP = str(folder)
    _link(shared, ours)
    try:
        yield
    finally:
        _link(ours, shared)


def _link(there: Path, here: Path) -> None:
    """Give what is there a name here too: either may go without the other."""
    with contextlib.suppress(FileNotFoundError):  # the nursery has gone, and taken its own along
        for path in there.iterdir():
            if not path.name.endswith((".lock", "-part")):
                with contextlib.suppress(FileExistsError):
                    (here / path.name).hardlink_to(path)


if __name__ == "__main__":
    try:
        with socket.socket(fileno=int(sys.argv[1])) as _requests:
            load()
            _requests.send(b"ready")
            serve(_requests)
    finally:
        shutil.rmtree(constants.ANSIBLE_HOME, ignore_errors=True)
