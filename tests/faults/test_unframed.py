"""Clients of HTTP/1.0, on bare sockets: no chunks, a close for the end, a reset where the answer broke off."""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.rehearsal.server import FaultServer
from tests import gateways
from tests.gateways import KEY, Gateway, route, usual

pytestmark = pytest.mark.gateway

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, and whether the connection ended in order (a FIN) or was reset."""

    status: int
    headers: dict[str, str]
    body: bytes
    in_order: bool

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]


def asked(gateway: Gateway, head: str, body: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    lines = [head, "host: 127.0.0.1", f"authorization: Bearer {KEY}", f"content-length: {len(body)}"]
    client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return client


def read(client: socket.socket, begun: bytes = b"") -> Answer:
    raw, in_order = bytearray(begun), True
    with client:
        try:
            while data := client.recv(65536):
                raw += data
        except ConnectionResetError:
            in_order = False
    return answer(bytes(raw), in_order)


def answer(raw: bytes, in_order: bool = True) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status.split()[1]), headers, body, in_order)


def chat(model: str, stream: bool = True) -> bytes:
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi."}]}).encode()


def streamed(gateway: Gateway, model: str, version: str = "HTTP/1.0", extra: str = "") -> Answer:
    return read(asked(gateway, f"POST {CHAT} {version}{extra}", chat(model)))


@pytest.mark.parametrize("extra", ["", "\r\nconnection: keep-alive", "\r\nexpect: 100-continue"])
def test_a_stream_is_its_events_and_ends_with_the_connection(gateway: Gateway, extra: str) -> None:
    got = streamed(gateway, "ok,size=30000,events=40", extra=extra)
    assert (got.status, got.headers["connection"], got.in_order) == (200, "close", True)
    assert not {"transfer-encoding", "content-length"} & got.headers.keys()
    blocks = got.body.decode().split("\n\n")
    assert all(block.startswith("data: ") for block in blocks[:-1])
    assert blocks[-2:] == ["data: [DONE]", ""]
    entry = gateway.entry(got.request_id)
    assert (entry["outcome"], entry["cause"]) == ("completed", None)


def test_a_whole_answer_keeps_its_length(gateway: Gateway) -> None:
    got = read(asked(gateway, f"POST {CHAT} HTTP/1.0", chat("ok", stream=False)))
    assert int(got.headers["content-length"]) == len(got.body) > 0
    assert json.loads(got.body)["object"] == "chat.completion"
    assert (got.headers["connection"], got.in_order) == ("close", True)
    assert gateway.entry(got.request_id)["outcome"] == "completed"


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/openapi.json", "/admin/login/"])
def test_pages_and_figures_are_whole_too(gateway: Gateway, path: str) -> None:
    old = read(asked(gateway, f"GET {path} HTTP/1.0"))
    assert (old.status, old.headers["connection"], old.in_order) == (200, "close", True)
    assert "transfer-encoding" not in old.headers
    assert int(old.headers.get("content-length", len(old.body))) == len(old.body) > 0


def test_a_client_of_http_1_1_still_gets_chunks_and_keeps_its_connection(gateway: Gateway) -> None:
    client = asked(gateway, f"POST {CHAT} HTTP/1.1", chat("ok"))
    raw = bytearray()
    while not raw.endswith(b"\r\n0\r\n\r\n"):
        raw += client.recv(65536)
    client.close()
    got = answer(bytes(raw))
    assert got.headers["transfer-encoding"] == "chunked"
    assert "connection" not in got.headers


def test_a_stream_that_the_upstream_broke_off_ends_in_order_with_an_error_event(gateway: Gateway) -> None:
    got = streamed(gateway, "cut")
    assert "transfer-encoding" not in got.headers
    told = [json.loads(block[6:]) for block in got.body.decode().split("\n\n") if block.startswith("data: {")]
    assert "error" in told[-1], got.body
    assert got.in_order
    entry = gateway.entry(got.request_id)
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("upstream-premature", "truncated-body", "upstream")


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_a_body_that_cannot_say_that_it_broke_off_is_reset(gateway: Gateway, end: str) -> None:
    """To a client of HTTP/1.0 a close would be the end of a whole body."""
    got = read(asked(gateway, f"GET /v1/files/f/blob?end={end}&pieces=3&size=6 HTTP/1.0"))
    assert (got.status, got.in_order) == (200, False)
    assert gateway.entry(got.request_id)["outcome"] == "upstream-premature"


def test_the_same_body_whole_ends_in_order(gateway: Gateway) -> None:
    got = read(asked(gateway, "GET /v1/files/f/blob?end=eof&pieces=3&size=200000 HTTP/1.0"))
    assert (len(got.body), got.in_order) == (600_000, True)
    assert gateway.entry(got.request_id)["outcome"] == "completed"


def test_a_heartbeat_before_the_answer_is_no_chunk_either(upstream: FaultServer, tmp_path: Path) -> None:
    early = gateways.upstream("early", f"{upstream.url}/v1", commit_after=1)
    running = Gateway(tmp_path, usual(upstream.url, upstreams=[early], routes=[route("*,early", "early")]))
    try:
        got = streamed(running, "late,seconds=2.5,early")
        assert got.body.startswith(b":"), got.body[:100]
        assert got.body.endswith(b"data: [DONE]\n\n")
        assert got.in_order
        assert running.entry(got.request_id)["outcome"] == "completed"
    finally:
        running.end()


def test_a_stream_that_outlives_the_drain_is_told_and_ends_in_order(own_gateway: Gateway) -> None:
    client = asked(own_gateway, f"POST {CHAT} HTTP/1.0", chat("idle"))
    head = client.recv(65536)
    own_gateway.process.send_signal(signal.SIGTERM)
    got = read(client, head)
    assert b'"error"' in got.body.rpartition(b"data: ")[2], got.body
    assert got.in_order
    assert own_gateway.process.wait(20) == 0


def test_a_killed_gateway_leaves_no_half_stream_that_looks_whole(own_gateway: Gateway) -> None:
    client = asked(own_gateway, f"POST {CHAT} HTTP/1.0", chat("idle"))
    raw = client.recv(65536)
    while raw.count(b"data: ") < 3:
        raw += client.recv(65536)
    own_gateway.kill()
    with client, pytest.raises(ConnectionResetError):
        while client.recv(65536):
            pass


@pytest.mark.parametrize("how", [b"\1\0\0\0\0\0\0\0", b"\0\0\0\0\0\0\0\0"], ids=["reset", "fin"])
def test_a_client_that_leaves_is_recorded_as_one_that_left(gateway: Gateway, how: bytes) -> None:
    client = asked(gateway, f"POST {CHAT} HTTP/1.0", chat("mid-silence,seconds=4"))
    raw = client.recv(65536)
    client.settimeout(1)  # what is left unread would make a reset of the close
    with pytest.raises(TimeoutError):
        while data := client.recv(65536):
            raw += data
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)
    client.close()
    entry = gateway.entry(answer(raw).request_id)
    assert entry["outcome"] == "client-abort"
    assert entry["cause"] == ("client-reset" if how[0] else "fin")
