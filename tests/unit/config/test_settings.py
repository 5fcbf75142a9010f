from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from config import settings
from config.errors import SecretError


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://redis:6379/0", "redis://:p%40ss%2F%20w@redis:6379/0"),
        ("rediss://operator@redis:6380/1", "rediss://operator:p%40ss%2F%20w@redis:6380/1"),
        (
            "redis://operator:old@redis/2?ssl_cert_reqs=none",
            "redis://operator:p%40ss%2F%20w@redis/2?ssl_cert_reqs=none",
        ),
    ],
)
def test_password_of_its_own_file_goes_into_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, whole: str
) -> None:
    (tmp_path / "password").write_text("p@ss/ w\n")
    monkeypatch.setenv("STEPMARK_REDIS_URL", url)
    monkeypatch.setenv("STEPMARK_REDIS_PASSWORD_FILE", str(tmp_path / "password"))

    found = settings.load().redis_url

    assert (found.get_secret_value(), str(found)) == (whole, "**********")


def test_missing_password_file_is_the_operators_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPMARK_REDIS_PASSWORD_FILE", str(tmp_path / "none"))

    with pytest.raises(SecretError, match="none"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("CA_FILE", "/etc/ca.pem", "is of use with TLS only: begin the Redis URL with rediss://"),
        ("SENTINELS", "", "is no list of addresses: write it as HOST[:PORT],HOST[:PORT]"),
        ("SENTINELS", "one,,two", "is no list of addresses"),
        ("SENTINELS", "one:0x1", "is no list of addresses"),
        ("SENTINELS", "one:123456", "is no list of addresses"),
        ("SENTINELS", "user@one", "is no list of addresses"),
        ("SENTINELS", "redis://one", "is no list of addresses"),
        ("SENTINELS", "one, two", "is no list of addresses"),
        ("SENTINELS", "one,two:26379", "the host in the Redis URL is the master's name, and has no port"),
        ("VERIFY", "some", "Input should be 'full', 'chain' or 'none'"),
    ],
)
def test_what_does_not_go_with_the_url_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv("STEPMARK_REDIS_URL", "redis://redis:6379/0")
    monkeypatch.setenv(f"STEPMARK_REDIS_{name}", value)

    with pytest.raises(ValidationError) as caught:
        settings.load()

    (problem,) = caught.value.errors()
    assert problem["loc"] == (f"redis_{name.lower()}",)
    assert why in problem["msg"]


@pytest.mark.parametrize(
    "url", ["foo://x", "notaurl", "", "redis://", "redis://h:99999", "redis://h:0x1", "redis://h:6379/abc"]
)
def test_what_is_no_redis_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("STEPMARK_REDIS_URL", url)

    with pytest.raises(ValidationError, match="is no Redis URL"):
        settings.load()
