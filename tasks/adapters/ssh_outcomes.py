"""Attempt: what a login over SSH came to, told from what OpenSSH's client says. Manual: https://man.openbsd.org/ssh."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tasks import errors

_CLIENT_FAILED = 255


class Outcome(StrEnum):
    """How far a login came."""

    OK = "ok"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed-out"
    NO_BANNER = "no-banner"
    HOST_KEY_CHANGED = "host-key-changed"
    AUTHENTICATION = "authentication"
    COMMAND_FAILED = "command-failed"


@dataclass(frozen=True)
class Attempt:
    """What one login came to. detail: one line for people, "" if there is no more to say."""

    outcome: Outcome
    detail: str = ""


ERRORS: Mapping[Outcome, type[errors.ToolError]] = {
    Outcome.DNS: errors.NetworkError,
    Outcome.REFUSED: errors.NetworkError,
    Outcome.UNREACHABLE: errors.NetworkError,
    Outcome.TIMED_OUT: errors.NetworkError,
    Outcome.NO_BANNER: errors.NetworkError,
    Outcome.HOST_KEY_CHANGED: errors.AuthenticationError,
    Outcome.AUTHENTICATION: errors.AuthenticationError,
    Outcome.COMMAND_FAILED: errors.RemoteCommandError,
}
# The first that is found: a bad key file, for one, is followed by `Permission denied`.
_MESSAGES = (
    (Outcome.HOST_KEY_CHANGED, r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed"),
    (Outcome.AUTHENTICATION, r"^Load key \"|^no such identity: |sign_and_send_pubkey: "),
    (Outcome.AUTHENTICATION, r"private key .* contents do not match public"),
    (Outcome.AUTHENTICATION, r"^[^:\s]+@\S+: Permission denied|Too many authentication failures"),
    (Outcome.DNS, r"^ssh: Could not resolve hostname "),
    (Outcome.REFUSED, r"^ssh: connect to host .*: Connection refused"),
    (Outcome.UNREACHABLE, r"^ssh: connect to host .*: (?:No route to host|Network is unreachable|Host is down)"),
    (Outcome.NO_BANNER, r"during banner exchange|^kex_exchange_identification: |^banner exchange: "),
    (Outcome.TIMED_OUT, r"^ssh: connect to host .*: (?:Connection|Operation) timed out|^Timeout, server "),
    (Outcome.UNREACHABLE, r"^Connection (?:to|from) .* closed|^(?:Connection )?(?:closed|reset) by |Broken pipe"),
    (Outcome.UNREACHABLE, r"Connection reset by peer|^ssh: connect to host "),
)
_PATTERNS = tuple((outcome, re.compile(pattern, re.MULTILINE)) for outcome, pattern in _MESSAGES)
_NOISE = re.compile(r"^(?:\*\*|@|Warning: Permanently added |stepmark: )")


def classify(exit_status: int, stderr: str) -> Attempt:
    """Tell the outcome.

    The client ends with 255 if it failed itself, else with the command's own status. Its last words are, for example,
    `root@10.0.0.7: Permission denied (publickey).`
    """
    if exit_status == 0:
        return Attempt(Outcome.OK)
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    if exit_status == _CLIENT_FAILED:
        for outcome, pattern in _PATTERNS:
            if found := pattern.search(stderr.replace("\r", "")):
                return Attempt(outcome, _line_of(stderr.replace("\r", ""), found.start()))
    return Attempt(Outcome.COMMAND_FAILED, lines[-1] if lines else f"exit status {exit_status}")


def _line_of(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    return text[start:].partition("\n")[0].strip(" @")
