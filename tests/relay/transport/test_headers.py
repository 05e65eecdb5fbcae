"""The short way to httpx's headers gives what httpx gives."""

from __future__ import annotations

import httpx
import pytest

from relay.transport import headers_of, request_of, value_of

PAIRS = [
    (b"Content-Type", b"text/event-stream"),
    (b"X-Twice", b"1"),
    (b"x-twice", b"2"),
    (b"x-latin", b"caf\xe9"),
    (b"empty", b""),
]


def test_it_is_httpx_own() -> None:
    ours, theirs = headers_of(PAIRS), httpx.Headers(PAIRS)
    assert ours == theirs
    assert ours.raw == theirs.raw
    assert ours.multi_items() == theirs.multi_items()
    assert ours["x-twice"] == theirs["x-twice"] == "1, 2"


@pytest.mark.parametrize(("name", "value"), [(b"content-type", "text/event-stream"), (b"x-latin", "café"), (b"none", "")])
def test_a_value_by_its_name(name: bytes, value: str) -> None:
    assert value_of(headers_of(PAIRS), name) == value


async def test_a_request_is_httpx_own() -> None:
    url = httpx.URL("http://upstream.test/v1/chat/completions?a=b")
    ours = request_of("POST", url, PAIRS, b"{}", {"fresh": False})
    theirs = httpx.Request("POST", url, headers=PAIRS, stream=httpx.ByteStream(b"{}"), extensions={"fresh": False})
    await theirs.aread()
    assert vars(ours).keys() == vars(theirs).keys()
    for name in ("method", "url", "headers", "extensions", "content"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert b"".join([part async for part in ours.stream]) == b"{}"  # type: ignore[union-attr]
