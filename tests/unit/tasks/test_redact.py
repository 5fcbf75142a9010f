from __future__ import annotations

import base64
import json
import threading
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.redact import MASK, SHORTEST, Redactor

SECRET = 'p&s "w\\ö/r+d'
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\nAAAAB3NzaC1yc2E=\n-----END OPENSSH PRIVATE KEY-----\n"


def taught(*secrets: str) -> Redactor:
    redact = Redactor()
    for secret in secrets:
        redact.add(secret)
    return redact


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
    ],
)
def test_a_secret_in_any_form(form: str) -> None:
    redacted = taught(SECRET)(f"<{form}>")

    assert (redacted[:2], MASK in redacted, redacted[-1:]) == ("<*", True, ">")
    assert len(redacted) <= len(f"<{MASK}>") + 4  # base64's last characters depend on what follows


@given(st.text(min_size=12, max_size=40), st.text(max_size=5), st.text(max_size=5))
def test_a_secret_inside_longer_base64(secret: str, before: str, after: str) -> None:
    assume(len(secret.strip().splitlines()) == 1)
    longer = base64.b64encode(f"{before}{secret.strip()}{after}".encode()).decode()

    assert MASK in taught(secret)(longer)


@given(st.text(min_size=SHORTEST, max_size=40).map(str.strip), st.text(max_size=20))
def test_no_secret_survives(secret: str, around: str) -> None:
    assume(len(secret) >= SHORTEST and secret not in MASK * 2 and secret not in f"{MASK}{around}{MASK}")

    assert secret not in taught(secret)(f"{around}{secret}{around}").replace(MASK, "")


def test_of_several_lines_each() -> None:
    redact = taught("first line\n  second line\nx\n")

    assert [redact(line) for line in ("a first line b", "second line", "x", "third line")] == [
        "a *** b",
        "***",
        "x",
        "third line",
    ]


def test_the_longer_secret_first() -> None:
    assert taught("hunter", "hunter22")("hunter22 hunter") == "*** ***"


def test_a_short_one_is_ignored() -> None:
    assert taught("abc", "", "\n")("abc abcd") == "abc abcd"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"key: {PEM}after", "key: ***\nafter"),
        ("password=hunter2 next", "password=*** next"),
        ("DB_PASSWORD: 'a b' next", "DB_PASSWORD: *** next"),
        ('{"api_key": "a\\"b", "name": "web"}', '{"api_key": ***, "name": "web"}'),
        ('{"log": "{\\"token\\": \\"a b\\", \\"x\\": 1}"}', '{"log": "{\\"token\\": ***, \\"x\\": 1}"}'),
        ("https://u.example/?token=abc&x=1", "https://u.example/?token=***&x=1"),
        ("Authorization: Bearer abcdef.ghi-jkl_mno", "Authorization: Bearer ***"),
        ("redis://:hunter2@127.0.0.1:6379/0", "redis://:***@127.0.0.1:6379/0"),
        ("https://user:p%40ss@host/path", "https://user:***@host/path"),
        ("lock_passwd: false", "lock_passwd: false"),
        ("ssh://git@github.example/x:y@z", "ssh://git@github.example/x:y@z"),
        ("plan: 1 to add, 0 to change", "plan: 1 to add, 0 to change"),
    ],
)
def test_what_looks_like_a_secret(text: str, redacted: str) -> None:
    assert Redactor()(text) == redacted


def test_many_threads_teach_at_once() -> None:
    redact = Redactor()
    threads = [threading.Thread(target=redact.add, args=(f"secret-{number:03}",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert redact(" ".join(f"secret-{number:03}" for number in range(50))) == " ".join([MASK] * 50)
