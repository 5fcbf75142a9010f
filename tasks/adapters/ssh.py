"""SSH by OpenSSH's client: keys, and commands on a host. Manuals: https://man.openbsd.org/ssh, ssh_config, sshd."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.secrets import SecretRef
from tasks import errors
from tasks.adapters import process, remote_scope, scratch, ssh_outcomes
from tasks.adapters.remote_scope import Scope
from tasks.adapters.ssh_outcomes import Attempt

CONNECT_SECONDS = 10
# To end what was left on a host: a login, and the three seconds that a command gets before it is killed there.
CLEAR_SECONDS = 6.0
# Host keys are kept under this name: the same on every port and address, and one line a host.
ALIAS = "host"
OPTIONS = {
    "BatchMode": "yes",
    "CheckHostIP": "no",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForwardAgent": "no",
    "GlobalKnownHostsFile": "/dev/null",
    "HostKeyAlias": ALIAS,
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PasswordAuthentication": "no",
    "ServerAliveCountMax": "3",
    "ServerAliveInterval": "5",
    "UpdateHostKeys": "no",
}


# Of the 67 ms of CPU of a login, OpenSSH 9.2 takes 57 for an exchange of keys that no computer of the future can read.
# What our own commands ask, and hear, need not be kept for so long. Ansible does not get this.
BRIEFLY = "^curve25519-sha256"


@dataclass(frozen=True)
class Target:
    """Where to log in, and as whom.

    identity: the file of the private key. known_hosts: pins the host's key; where it does not exist yet, or is empty,
    the first key seen is accepted and written there. scope: in which all commands run there.
    """

    address: str
    port: int
    user: str
    identity: Path
    known_hosts: Path
    scope: Scope | None = None


@contextmanager
def identity(reference: SecretRef, redact: process.Redactor) -> Iterator[Path]:
    """A private file with the key while the `with` block lasts: its own if nobody else can read it, else a copy.

    Raises:
        config.errors.SecretError: the key is not there.
    """
    key = reference.resolve()
    redact.add(key)
    scheme, _, where = reference.reference.partition(":")
    path = Path(where).expanduser()
    if scheme == "file" and not path.stat().st_mode & 0o077:
        yield path.absolute()
        return
    with scratch.folder() as folder:
        path = folder / "identity"
        path.touch(mode=0o600)
        path.write_text(key, encoding="utf-8")
        yield path


def generate_host_key() -> tuple[str, str]:
    """A new Ed25519 key pair for a host: the private key in OpenSSH's format, and `ssh-ed25519 AAAA…`."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def pin(known_hosts: Path, host_key: str | None) -> None:
    """Have `known_hosts` accept `host_key` only, given as `ssh-ed25519 AAAA…`; None: the first key seen."""
    whole = known_hosts.with_name(f"{known_hosts.name}.{os.getpid()}")
    whole.write_text(f"{ALIAS} {host_key}\n" if host_key else "", encoding="utf-8")
    whole.replace(known_hosts)  # an ssh that reads it meanwhile sees all of it, or all of the one before


def pinned(known_hosts: Path) -> str | None:
    """The key that `known_hosts` accepts, as `ssh-ed25519 AAAA…`; None: none was seen yet."""
    fields = known_hosts.read_text(encoding="utf-8").split() if known_hosts.exists() else []
    return f"{fields[1]} {fields[2]}" if fields else None


def run_remote(
    target: Target, command: str, session: process.Session, *, statuses: Collection[int] = (0,)
) -> process.Completed:
    """Run `command`, a line of shell, on the host, for which the session's time is the bound.

    Raises:
        NetworkError: the host cannot be reached, or the connection broke. AuthenticationError: it refused our key, or
        showed another one than the pinned. RemoteCommandError: the command ended with none of `statuses`.
        DeadlineError, LeaseLostError, CancelledError, ToolMissingError: as `process.run` does.
        LeaseLostError: a later run or epoch works on the host.
    """
    with leaving_nothing(target, session):
        completed = process.run(command_of(target, command), session)
    if completed.exit_status in statuses:
        return completed
    shown = session.redact(text_of(target, command))
    remote_scope.check(completed.exit_status, completed.stderr, session, shown)
    attempt = classify(completed, session)
    summary = session.redact(f"{target.user}@{target.address}: {attempt.outcome}: {attempt.detail}")
    raise ssh_outcomes.ERRORS[attempt.outcome](summary, shown, completed.exit_status, completed.tail)


@contextmanager
def leaving_nothing(target: Target, session: process.Session) -> Iterator[None]:
    """Have the host end what still runs there in the target's scope, if the block was ended by us or its tool killed.

    Not where the lease was lost: whoever holds it does that. Takes `CLEAR_SECONDS` at most, and raises nothing itself.
    """
    began = time.monotonic()
    try:
        yield
    except errors.ToolError:
        if began < session.deadline:  # else nothing was started
            clear(target, session)
        raise


def clear(target: Target, session: process.Session) -> None:
    """Have the host end what runs there in the target's scope, and refuse what comes late; if it can be reached."""
    if target.scope is None:
        return
    # The step's own time is over, and its lifeline may be cut.
    brief = dataclasses.replace(
        session, deadline=time.monotonic() + CLEAR_SECONDS, lifeline=process.Lifeline(), grace_seconds=0.5
    )
    after = dataclasses.replace(target, scope=target.scope.after())
    with suppress(errors.StepmarkError, OSError):
        process.run(command_of(after, "true"), brief)


def command_of(target: Target, command: str, *, timeout_seconds: float | None = None) -> process.Command:
    """OpenSSH's client, told to run `command` and to read no configuration of the machine's or the user's."""
    options = {
        **OPTIONS,
        "KexAlgorithms": BRIEFLY,
        "StrictHostKeyChecking": "yes" if pinned(target.known_hosts) else "accept-new",
        "UserKnownHostsFile": f'"{target.known_hosts}"',  # its value is a list of names, parted by spaces
    }
    settings = tuple(part for item in options.items() for part in ("-o", "=".join(item)))
    login = ("-i", str(target.identity), "-l", target.user, "-p", str(target.port), "--", target.address)
    run = remote_scope.within(target.scope, command)
    argv = ("ssh", "-T", "-F", "/dev/null", *settings, *login, run)
    return process.Command(argv, Path("/"), timeout_seconds=timeout_seconds, shown=text_of(target, command))


def classify(completed: process.Completed, session: process.Session) -> Attempt:
    """What a run of the client came to: how the login went, or that the command failed."""
    attempt = ssh_outcomes.classify(completed.exit_status, completed.stderr)
    return Attempt(attempt.outcome, session.redact(attempt.detail))


def text_of(target: Target, command: str) -> str:
    """What to type to do the same by hand."""
    return shlex.join(("ssh", "-p", str(target.port), f"{target.user}@{target.address}", command))
