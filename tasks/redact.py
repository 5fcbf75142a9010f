"""Redactor: takes secrets out of text."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
# Shorter ones turn up by chance in any text: masking them would shred the output, and point at them by doing so.
SHORTEST = 4
_WORDS = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"
_PATTERNS = (
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        MASK,
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"]*):[^\s/'\"]+@", re.IGNORECASE), rf"\1:{MASK}@"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/-]{8,}=*", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(
            rf"({_WORDS}\\?[\"']?\s*[=:]\s*)(?!(?:true|false|null|none|yes|no)\b)"
            r"(?:\"(?:[^\"\\]|\\.)*\"|\\\"(?:(?!\\\").)*\\\"|'[^']*'|[^\s\"',;&}]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)


class Redactor:
    """Takes secrets out of text. `add` teaches it one; every later `__call__` renders it as `***`.

    It knows a secret also in base64, in a URL, and inside a JSON string; of a secret of several lines, each line. What
    looks like one is masked untaught: private keys in PEM, `password=…` and its like, bearer tokens, credentials in
    URLs. Any thread may call both.
    """

    def __init__(self) -> None:
        self._forms: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Teach it `secret`. One of fewer than 4 characters is ignored."""
        with self._lock:
            self._forms |= {form for form in _forms(secret) if len(form) >= SHORTEST}
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        if self._known:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _forms(secret: str) -> Iterator[str]:
    for part in {secret, secret.strip(), *map(str.strip, secret.splitlines())}:
        if len(part) < SHORTEST:
            continue
        yield part
        yield quote(part, safe="")
        yield quote(part)
        yield quote_plus(part)
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield from _base64_forms(part.encode())


def _base64_forms(secret: bytes) -> Iterator[str]:
    """`secret` in base64, alone and at any place inside a longer text: what no neighbour can change of it."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        core = encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        if len(core) >= 2 * SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")
