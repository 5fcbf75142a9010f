"""The program that a scripted step runs, alone and on whatever Python there is: it says in a log that it lives.

`program.py LOG WHO SECONDS [deaf]` appends `start WHO AT`, every now and then `alive WHO AT`, and `end WHO AT`; AT is
Unix time. deaf: it does not heed what it is asked to end with.
"""

import os
import signal
import sys
import time

BEAT_SECONDS = 0.05


def main(log: str, who: str, seconds: str, *flags: str) -> None:
    """Live for so long."""
    if "deaf" in flags:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def say(word: str) -> None:
        os.write(file, f"{word} {who} {time.time():.6f}\n".encode())

    say("start")
    print("started", flush=True)
    last = time.monotonic() + float(seconds)
    while time.monotonic() < last:
        time.sleep(BEAT_SECONDS)
        say("alive")
    say("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
