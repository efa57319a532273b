"""Passwords in URLs are masked, whatever they are made of; the rest stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platestream.errors import RedisError, SourceError
from platestream.masking import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:pw@host:6379/0 is away", "redis://:***@host:6379/0 is away"),
        ("rediss://gate:pw@host/0", "rediss://gate:***@host/0"),
        ("cannot open rtsp://admin:p@ss/w:rd@10.0.0.5:554/1: refused",
         "cannot open rtsp://admin:***@10.0.0.5:554/1: refused"),
        ("'rtsp://a:b@h/1' and 'rtsp://c:d@h/2'", "'rtsp://a:***@h/1' and 'rtsp://c:***@h/2'"),
        ("redis://h?username=u&password=pw&db=1", "redis://h?username=u&password=***&db=1"),
        ("rtsp://h/user=admin&password=pw&channel=1", "rtsp://h/user=admin&password=***&channel=1"),
        ("http://h/x?TOKEN=abc", "http://h/x?TOKEN=***"),
    ],
)  # fmt: skip
def test_a_password_is_hidden(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "redis://127.0.0.1:6379/0",
        "rtsp://admin@host:554/stream",
        "unix:///tmp/redis.sock?db=1",
        "unexpected: a@b",
        "rate 25/1, threshold=0.7",
        "file://C:/x",
    ],
)
def test_what_holds_no_password_stays(text: str) -> None:
    assert mask(text) == text


@given(st.text(st.characters(blacklist_categories=("Z", "C")), min_size=1))
def test_no_password_gets_through(password: str) -> None:
    secret = f"x{password}x"
    assert secret not in mask(f"rtsp://admin:{secret}@camera: connection refused")


def test_errors_hide_passwords() -> None:
    said = str(RedisError("cannot reach Redis at redis://u:secret@h:1/0: refused; is it running?"))
    assert said == "cannot reach Redis at redis://u:***@h:1/0: refused; is it running?"
    assert "secret" not in f"{SourceError('cannot open rtsp://u:secret@h')}"
