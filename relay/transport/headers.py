"""httpx's headers and requests, made of what is known to be right without a look at each part again: a tenth of a request's cost.

tests/relay/transport/test_headers.py pins that the result is httpx's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> httpx.Headers:
    """`httpx.Headers(pairs)`, for pairs that are known to be bytes."""
    headers = httpx.Headers()
    headers._list = [(name, name.lower(), value) for name, value in pairs]
    return headers


def request_of(
    method: str, url: httpx.URL, headers: Iterable[tuple[bytes, bytes]], body: bytes, extensions: dict[str, Any]
) -> httpx.Request:
    """`httpx.Request` with this body, for a method in capitals and headers that lack nothing."""
    request = httpx.Request.__new__(httpx.Request)
    request.method, request.url, request.headers, request.extensions = method, url, headers_of(headers), extensions
    request.stream = httpx.ByteStream(body)
    request._content = body
    return request


def pairs_of(headers: httpx.Headers) -> list[tuple[bytes, bytes]]:
    """Names in lower case, and values, in their order. `headers.raw` gives the names as they came, and copies."""
    return [(lower, value) for _, lower, value in headers._list]


def value_of(headers: httpx.Headers, name: bytes) -> str:
    """The first value under a lower-case name, or an empty string. httpx's lookup decodes every header first."""
    for _, lower, value in headers._list:
        if lower == name:
            return value.decode("latin-1")
    return ""
