"""Clients whose bytes are not the HTTP/1.1 that was asked for, on bare sockets: behind a request, in its body, in its head."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway

GARBAGE = b"\x16\x03\x01 no HTTP\r\n\r\n"
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
ENDED = b"data: [DONE]\n\n\r\n0\r\n\r\n"


def chat(model: str) -> bytes:
    return json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi."}]}).encode()


def whole(model: str) -> bytes:
    body = chat(model)
    return f"{HEAD}content-length: {len(body)}\r\n\r\n".encode() + body


def connected(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=20)


def until_closed(client: socket.socket) -> bytes:
    raw = bytearray()
    while data := client.recv(65536):
        raw += data
    return bytes(raw)


def entry_of(gateway: Gateway, raw: bytes) -> dict[str, Any]:
    return gateway.entry(raw.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode())


def test_a_stream_ends_as_it_would_have_though_no_http_comes_in_its_midst(gateway: Gateway) -> None:
    with connected(gateway) as client:
        client.sendall(whole("ok,gap_ms=100"))
        begun = client.recv(65536)
        client.sendall(GARBAGE)
        raw = begun + until_closed(client)
    assert raw.endswith(ENDED)
    assert raw.count(b"HTTP/1.1 ") == 1
    assert entry_of(gateway, raw)["outcome"] == "completed"


def test_a_body_longer_than_it_was_said_to_be_is_answered_and_the_connection_closed(gateway: Gateway) -> None:
    with connected(gateway) as client:
        client.sendall(whole("ok") + b"}")
        raw = until_closed(client)
    assert raw.endswith(ENDED)
    assert b"\r\nconnection: close\r\n" in raw
    assert entry_of(gateway, raw)["outcome"] == "completed"


def test_requests_that_came_whole_before_it_are_answered(gateway: Gateway) -> None:
    half = f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode() + b"no size\r\n"
    with connected(gateway) as client:
        client.sendall(whole("ok") + whole("ok") + half)
        raw = until_closed(client)
    assert raw.count(b"data: [DONE]") == 2
    assert raw.endswith(ENDED)


def test_a_client_that_leaves_behind_it_is_still_seen(gateway: Gateway) -> None:
    with connected(gateway) as client:
        client.sendall(whole("ok,gap_ms=500") + GARBAGE)
        raw = client.recv(65536)
    entry = entry_of(gateway, raw)
    assert entry["outcome"] == "client-abort"
    assert entry["duration_ms"] < 3000


@pytest.mark.parametrize("apart", [True, False])
def test_a_body_in_chunks_that_are_none_is_a_bad_request_and_no_client_that_left(gateway: Gateway, apart: bool) -> None:
    head = f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode()
    with connected(gateway) as client:
        client.sendall(head + (b"" if apart else b"no size\r\n"))
        if apart:
            client.sendall(b"2\r\n{}\r\n")
            client.sendall(b"no size\r\n")
        raw = until_closed(client)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"
    entry = entry_of(gateway, raw)
    assert (entry["outcome"], entry["cause"], entry["status"]) == ("rejected", "bad-request", 400)


def test_a_page_is_refused_its_body_in_chunks_that_are_none(gateway: Gateway) -> None:
    with connected(gateway) as client:
        client.sendall(b"POST /admin/login/ HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n")
        assert until_closed(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("apart", [True, False])
def test_an_upgrade_to_h2c_is_left_unheeded_and_the_body_read(gateway: Gateway, apart: bool) -> None:
    """Java's client asks for it by itself."""
    body = chat("ok")
    head = f"{HEAD}connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\ncontent-length: {len(body)}"
    parts = [head.encode() + b"\r\n\r\n", body[:9], body[9:]]
    with connected(gateway) as client:
        for part in parts if apart else [b"".join(parts)]:
            client.sendall(part)
        raw = bytearray()
        while not raw.endswith(ENDED) and (data := client.recv(65536)):
            raw += data
        assert entry_of(gateway, bytes(raw))["outcome"] == "completed"
        client.sendall(whole("ok"))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
