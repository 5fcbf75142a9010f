"""Box: encrypts what is kept at rest, with the keys of the settings."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tasks.errors import ConfigurationError, Kind, StepmarkError


class SealError(StepmarkError):
    """What was kept cannot be opened: it was encrypted with a key that this worker does not have."""

    kind = Kind.CONFIGURATION
    help = "give every worker the same encryption key file, older keys in its later lines"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} was encrypted with another key"


class Box:
    """Seals and opens bytes (Fernet: AES-128-CBC with HMAC-SHA256). The first key seals, all open."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._first = Fernet(keys[0])

    def seal(self, content: bytes) -> str:
        """The content, encrypted, as ASCII text."""
        return self._fernet.encrypt(content).decode("ascii")

    def open(self, sealed: str, what: str) -> bytes:
        """The content of what `seal` gave.

        Raises:
            SealError: no key fits; it names `what`.
        """
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise SealError(what) from error

    def renewed(self, sealed: str, what: str) -> str | None:
        """The same content under the first key; None: it is under that one already.

        Raises:
            SealError: no key fits; it names `what`.
        """
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return self.seal(self.open(sealed, what))
        return None


def load(path: Path) -> Box:
    """The box of the key file at `path`: one key a line.

    Raises:
        ConfigurationError: there is no such file, or a line is no key.
    """
    place = path.expanduser()
    try:
        return Box(tuple(line.strip() for line in place.read_text().splitlines() if line.strip()))
    except FileNotFoundError as error:
        raise ConfigurationError(f"no encryption key at {place}: `stepmark init` writes one") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the encryption key file {place} cannot be used: {error}") from error


def create(path: Path) -> bool:
    """Write a new key to `path`, mode 0600. False if there was a file already; it is left alone."""
    place = path.expanduser()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(Fernet.generate_key().decode() + "\n")
    return True
