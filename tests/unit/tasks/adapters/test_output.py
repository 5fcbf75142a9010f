"""What is shown of a program's output, and what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters import output
from tasks.redact import Redactor


def shown(*chunks: bytes) -> list[str]:
    lines: list[str] = []
    redact = Redactor()
    redact.add("hunter22")
    transcript = output.Transcript(redact, lines.append)
    for chunk in chunks:
        transcript.stdout.feed(chunk)
    transcript.close()
    assert list(transcript.tail) == lines[-output.TAIL_LINES :]
    return lines


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ((b"one\ntw", b"o\n\nthree"), ["one", "two", "", "three"]),
        ((b"",), []),
        ((b"a\r\nb\r\n",), ["a", "b"]),
        ((b"10%\r50%\r100%\n",), ["10%", "50%", "100%"]),
        ((b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x07text\ttab\n",), ["red text\ttab"]),
        ((b"caf\xc3", b"\xa9 \xff\n"), ["café \ufffd"]),
        ((b"it is hun", b"ter22!\n"), ["it is ***!"]),
        ((b"hunt\x1b[0mer22\n",), ["***"]),
    ],
)
def test_lines(chunks: tuple[bytes, ...], lines: list[str]) -> None:
    assert shown(*chunks) == lines


def test_a_private_key_over_several_lines() -> None:
    key = b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----\nafter\n"

    assert shown(b"before\n" + key) == ["before", "***", "***", "***", "***", "after"]


def test_a_line_too_long_is_cut_and_hides_no_less() -> None:
    """The secret lies across the bound."""
    start = b"x" * (output.LINE_CHARACTERS - 4)

    (line,) = shown(start, b"hunter22", b"y" * 10**6, b"\n")

    assert line == start.decode() + "***y … (cut)"


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_what_is_kept_is_what_was_written(chunks: list[bytes]) -> None:
    transcript = output.Transcript(str, lambda _: None)
    for chunk in chunks:
        transcript.stderr.feed(chunk)

    assert (bytes(transcript.stderr.kept), transcript.stderr.truncated) == (b"".join(chunks), False)
    assert transcript.stderr.text == b"".join(chunks).decode(errors="replace")


def test_only_the_first_of_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "KEEP_BYTES", 5)
    transcript = output.Transcript(str, lambda _: None)

    transcript.stdout.feed(b"abc")
    transcript.stdout.feed(b"def")
    transcript.stdout.feed(b"ghi")

    assert (transcript.stdout.text, transcript.stdout.truncated) == ("abcde", True)


def test_the_tail_is_of_both_streams_in_order() -> None:
    transcript = output.Transcript(str, lambda _: None)
    for number in range(40):
        transcript.stdout.feed(f"out {number}\n".encode())
        transcript.stderr.feed(f"err {number}\n".encode())

    assert list(transcript.tail) == [f"{name} {number}" for number in range(15, 40) for name in ("out", "err")]
