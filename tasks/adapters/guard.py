"""The guard: a small process that runs one program and ends it when nobody vouches for it any more.

`process.run` starts it as a script: `python -I -S guard.py CONTROL GRACE DEADLINE GOOD_UNTIL -- ARGV…`. Its start-up is
paid for every command, so it imports nothing of ours and little of Python's. CONTROL is a packet socket to the worker,
who sends `good UNTIL` (the lease holds until then) and `end`. The guard answers `started PID`, or `missing ERRNO` (it
could not be started), `ending REASON`, and `exited STATUS` (minus the signal's number if one ended it). Times are
seconds on `clock`; `inf` means never.
"""

from __future__ import annotations

# The builtin half of `signal`: its other half is enums, whose import would take a third of the guard's start-up.
import _signal as signal  # type: ignore[import-not-found]  # private, so typeshed has no stub
import errno
import os
import select
import sys
import time
from _collections_abc import Callable  # the package around it takes longer

try:
    import _ctypes  # the same: what lies above it takes ten times as long
except ImportError:  # a Python that was built without
    _ctypes = None  # type: ignore[assignment]

LINGER_SECONDS = 0.5
PR_SET_PDEATHSIG = 1
SIGNALS = set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}  # libc keeps the last two for itself
DEAF_TO = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTSTP)
Processes = dict[int, tuple[int, int, int]]
Program = Callable[[list[str]], int]


def clock() -> float:
    """Seconds on a clock that all processes of the machine share, and that runs while they, or it, are stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def processes() -> Processes:
    """Find what lives on this machine, no zombies: parent, process group and start time, by process id."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - pathlib takes longer to import than we have
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - the same
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            found[int(name)] = (int(fields[1]), int(fields[2]), int(fields[19]))
    return found


class Tree:
    """A program, its process group, and its descendants that have left the group; `pid` is the group's number too."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._started: dict[int, int] = {}

    def members(self) -> list[int]:
        """Look for all that live.

        Descendants are remembered: once their parent has died, nothing else shows where they came from. What has left
        the group *and* lost its parent before the first look is a daemon, and none of ours.
        """
        living = processes()
        self._started = {pid: at for pid, at in self._started.items() if pid in living and living[pid][2] == at}
        known = {self.pid, *self._started}
        while (
            more := {pid for pid, (parent, group, _) in living.items() if parent in known or group == self.pid} - known
        ):
            known |= more
        self._started = {pid: living[pid][2] for pid in known if pid in living}
        return list(self._started)

    def signal(self, number: int) -> bool:
        """Signal the group, if there is anybody in it."""
        try:
            os.killpg(self.pid, number)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill all, and look again for what they started meanwhile."""
        for _ in range(20):
            self.signal(signal.SIGKILL)
            if not (members := self.members()):
                return
            for pid in members:
                _kill(pid)
            time.sleep(0.01)


def _kill(pid: int) -> None:
    try:  # noqa: SIM105 - contextlib costs start-up time
        os.kill(pid, signal.SIGKILL)
    except OSError:  # gone, or not ours to signal
        pass


class Guard:
    """One program under guard.

    control: the socket to the worker. alarms: reads a byte for each signal that came. outputs: reading ends of the
    program's streams, for when the worker reads no more.
    """

    def __init__(self, control: int, alarms: int, outputs: list[int], tree: Tree, good_until: float) -> None:
        self.control = control
        self.alarms = alarms
        self.outputs = outputs
        self.tree = tree
        self.good_until = good_until
        self.status: int | None = None
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(alarms, select.POLLIN)

    def watch(self, deadline: float) -> str:
        """Wait until the program has ended by itself ("") or has to be ended: the reason."""
        while not self.ended():
            now = clock()
            if now >= deadline:
                return "deadline"
            if now >= self.good_until:
                return "lapsed"
            # One second at most: poll's own clock stands still while the machine sleeps, ours does not.
            if reason := self._hear(min(deadline - now, self.good_until - now, 1.0)):
                return reason
        return ""

    def _hear(self, seconds: float) -> str:
        ready = dict(self._poll.poll(seconds * 1000 + 1))
        if self.alarms in ready and signal.SIGTERM in os.read(self.alarms, 1024):
            return "terminated"
        if self.control not in ready:
            return ""
        word, _, until = _receive(self.control).partition(b" ")
        if word == b"good":
            self.good_until = float(until)
            return ""
        return "told" if word == b"end" else "abandoned"

    def ended(self) -> bool:
        """Whether the program itself has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.tree.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def end(self, grace: float, reason: str) -> None:
        """End the program and all that it started, within two graces.

        INT once, and then nothing while there is time: OpenTofu writes its state after the first interrupt, but a
        second one, or TERM, or the death of a provider below it makes it lose what it was doing. Once the program
        itself is gone, what it left behind gets TERM and one grace. The kill at the end is for whoever is left.
        """
        if reason not in ("abandoned", "lapsed"):
            self.outputs.clear()  # the worker lives, and reads them itself
        last = clock() + 2 * grace
        self.tree.members()
        self.tree.signal(signal.SIGINT)
        self.tree.signal(signal.SIGCONT)
        while not self.ended() and (left := last - clock()) > 0:
            self._doze(min(left, 0.1))
            self.tree.members()
        self.sweep(min(last, clock() + grace))

    def _doze(self, seconds: float) -> None:
        """Wait, and swallow output: a program that has nobody to read it dies, or hangs, before it has cleaned up."""
        for ready in select.select([self.alarms, *self.outputs], [], [], seconds)[0]:
            try:
                if not os.read(ready, 65536):
                    self.outputs.remove(ready)
            except BlockingIOError:  # a worker that lives after all was faster
                continue

    def sweep(self, last: float) -> None:
        """TERM for what the program left behind, and a kill for what is still there at `last`."""
        if self.ended():
            self.tree.signal(signal.SIGTERM)
            self.linger(last)
        self.tree.kill()

    def linger(self, last: float) -> None:
        """Wait until nobody is left, or until `last`."""
        pause = 0.002
        while self.tree.members() and (left := last - clock()) > 0:
            time.sleep(min(left, pause))
            pause = min(pause * 2, 0.1)


def _receive(control: int) -> bytes:
    try:
        return os.read(control, 4096)
    except OSError:
        return b""


def _say(control: int, message: str) -> None:
    try:  # noqa: SIM105 - contextlib costs start-up time
        os.write(control, message.encode())
    except OSError:  # the worker is gone
        pass


def _alarms() -> int:
    """Take signals as bytes in a pipe: its reading end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reading


def _start(argv: list[str], program: Program | None) -> tuple[int, list[int]]:
    """Start the program in a session of its own, with our standard streams. Gives reading ends of its output too."""
    outputs = [os.open(f"/proc/self/fd/{stream}", os.O_RDONLY | os.O_NONBLOCK) for stream in (1, 2)]
    ours = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(argv, program, writing, ours)
    os.close(writing)
    if failed := os.read(reading, 16):
        os.waitpid(pid, 0)
        raise OSError(int(failed), "")
    null = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    return pid, outputs


def _become(argv: list[str], program: Program | None, failed: int, parent: int) -> None:
    """Turn this child into the program; if it cannot be, write the error's number to `failed`."""
    number = errno.ENOENT
    try:
        os.setsid()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _interrupt_when_orphaned(parent)
        if program:
            os.close(failed)
            os._exit(program(argv))
        folders = [""] if "/" in argv[0] else os.environ["PATH"].split(":")
        for folder in folders:
            try:
                os.execv(f"{folder}/{argv[0]}" if folder else argv[0], argv)  # noqa: S606 - it is what we are for
            except OSError as error:
                # As execvp: a file that may not be run counts only if there is no other.
                number = number if error.errno in (errno.ENOENT, errno.ENOTDIR) else error.errno or number
        os.write(failed, str(number).encode())
    finally:
        os._exit(127)


def _interrupt_when_orphaned(parent: int) -> None:
    """Have the kernel send us INT when the guard is killed: then nobody else is sure to end us."""
    if _ctypes is None:
        return
    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]  # None: this very program
    _ctypes.call_function(prctl, (PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(127)


def main(control: int, times: tuple[float, ...], argv: list[str], program: Program | None = None) -> int:
    """Guard a program to its end; our exit status. times: grace, deadline, lease's end. program: in place of `argv`."""
    grace, deadline, good_until = times
    os.set_inheritable(control, False)
    alarms = _alarms()
    try:
        pid, outputs = _start(argv, program)
    except OSError as error:
        _say(control, f"missing {error.errno}")
        return 127
    _say(control, f"started {pid}")
    tree = Tree(pid)
    guard = Guard(control, alarms, outputs, tree, good_until)
    if reason := guard.watch(deadline):
        _say(control, f"ending {reason}")
        guard.end(grace, reason)
    elif tree.signal(0):
        guard.linger(clock() + LINGER_SECONDS)
        guard.sweep(clock() + grace)
    while not guard.ended():
        time.sleep(0.01)
    _say(control, f"exited {guard.status}")
    status = guard.status or 0
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), tuple(map(float, sys.argv[2:5])), sys.argv[6:]))
