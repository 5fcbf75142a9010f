from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.errors import SecretError
from config.secrets import SecretRef

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("stored", "secret"),
    [
        ("token", "token"),
        ("token\n", "token"),
        ("token\r\n", "token"),
        (" to ken ", " to ken "),
        (KEY, KEY),
        (KEY.rstrip(), KEY),
        (f"\n{KEY}\n\n", KEY),
    ],
)
def test_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, secret: str) -> None:
    """A token loses its line break, a private key has exactly one: each as its reader wants it."""
    (tmp_path / "secret").write_bytes(stored.encode())
    monkeypatch.setenv("SECRET", stored)

    for reference in (SecretRef(reference=f"file:{tmp_path}/secret"), SecretRef(reference="env:SECRET")):
        assert reference.resolve() == secret
        assert reference.check() is None


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home of whoever reads it, not of whoever wrote it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("sesame")
    reference = SecretRef.model_validate("file:~/token", context={"folder": "/fleets"})

    assert (reference.reference, reference.resolve()) == ("file:~/token", "sesame")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"\xff\xfe", "the file is not UTF-8 text"),
        (b"x" * 65537, "the file is larger than 65536 bytes"),
    ],
    ids=range(5),
)
def test_missing_file(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    assert SecretRef(reference=f"file:{path}").check() == f"secret file:{path}: {problem}"


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("env:STEPMARK_NOT_THERE", "the variable is not set, or empty"),
        ("file:/", "Is a directory"),
        ("file:~nobody-of-this-name/x", "Could not determine home directory."),
        ("file:" + "x" * 300, "File name too long"),
    ],
)
def test_missing(reference: str, problem: str) -> None:
    with pytest.raises(SecretError) as caught:
        SecretRef(reference=reference).resolve()

    assert str(caught.value) == f"secret {reference}: {problem}"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301  our own


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("env:TOKEN", "env:TOKEN"),
        ("file:/abs/id", "file:/abs/id"),
        ("file:keys/id", "file:/fleets/keys/id"),
        ("file:../id", "file:/fleets/../id"),
    ],
)
def test_kept_as_reference(written: str, kept: str) -> None:
    reference = SecretRef.model_validate(written, context={"folder": "/fleets"})

    assert (reference.reference, reference.model_dump_json()) == (kept, f'"{kept}"')
    assert SecretRef.model_validate_json(reference.model_dump_json()) == reference


@pytest.mark.parametrize(
    "value", ["hunter2", "env:", "env:A B", "env:1A", "file:", "file:a\nb", "ENV:A", "vault:x", 7, None, []]
)
def test_a_secret_itself_is_refused(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SecretRef.model_validate(value)

    assert "write where the secret is, `env:NAME` or `file:PATH`, never the secret itself" in str(caught.value)
    assert "hunter2" not in str(caught.value)
