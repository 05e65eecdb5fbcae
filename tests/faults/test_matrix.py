"""The fault matrix of endings.md, over real sockets: a client, the gateway as processes, a scripted upstream.

A row says what is provoked, and what must be on record; the error event exists exactly when the ending is abnormal.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import time
from typing import Any

import httpx
import orjson
import pytest
import zstandard

from relay.ending import OUTCOMES, Outcome
from tests.faults.conftest import KEY, Gateway

pytestmark = pytest.mark.gateway

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
DONE = {"chat": b"data: [DONE]", "responses": b"response.completed", "messages": b"message_stop"}
TOLD = {"chat": b'data: {"error"', "responses": b"event: response.failed", "messages": b"event: error"}
ALL = ("chat", "responses", "messages")

# scenario, protocols, outcome, cause, fault, the client's status, what the body must hold: done, told or ""
STREAMED: list[tuple[str, tuple[str, ...], str, str | None, str | None, int, str]] = [
    ("ok", ALL, "completed", None, None, 200, "done"),
    ("terminal-then-open", ALL, "completed", None, None, 200, "done"),
    ("length", ("chat", "messages"), "incomplete", None, None, 200, "done"),
    ("eof,after=3", ALL, "upstream-premature", "eof", "upstream", 200, "told"),
    ("cut,after=3", ALL, "upstream-premature", "truncated-body", "upstream", 200, "told"),
    ("half-event,after=3", ALL, "upstream-premature", "eof", "upstream", 200, "told"),
    ("reset,after=3", ALL, "upstream-premature", "reset", "upstream", 200, "told"),
    ("idle,after=3,seconds=30", ALL, "upstream-error", "idle-timeout", "upstream", 200, "told"),
    ("silent", ("chat",), "upstream-error", "first-byte-timeout", "upstream", 504, ""),
    ("status,code=401", ALL, "upstream-error", "auth-rejected", "operator", 502, ""),
    ("status,code=429,retry_after=7", ALL, "upstream-error", "rate-limited", "upstream", 429, ""),
    ("status,code=500", ALL, "upstream-error", "http-status", "upstream", 500, ""),
    ("status,code=529", ALL, "upstream-error", "overloaded", "upstream", 529, ""),
    ("html", ALL, "upstream-error", "not-a-stream", "upstream", 502, ""),
    ("reset-before-headers", ALL, "upstream-premature", "reset", "upstream", 504, ""),
    ("closed-port", ("chat",), "upstream-error", "connect-refused", "upstream", 502, ""),
    ("no-done", ("chat",), "completed", None, None, 200, "done"),
    ("gzip", ALL, "completed", None, None, 200, "done"),
    ("zstd", ALL, "completed", None, None, 200, "done"),
    ("br", ("chat",), "completed", None, None, 200, "done"),
    ("deflate", ("chat",), "completed", None, None, 200, "done"),
    ("gzip-cut", ("chat",), "upstream-premature", "truncated-body", "upstream", 200, "told"),
    ("json-for-stream", ALL, "completed", None, None, 200, "done"),
]
WHOLE: list[tuple[str, tuple[str, ...], str, str | None, str | None, int]] = [
    ("ok", ALL, "completed", None, None, 200),
    ("cut", ALL, "upstream-premature", "truncated-body", "upstream", 504),
    ("short-length", ALL, "upstream-premature", "truncated-body", "upstream", 504),
    ("reset", ALL, "upstream-premature", "reset", "upstream", 504),
    ("html", ALL, "upstream-error", "malformed-event", "upstream", 502),
    ("status,code=500", ALL, "upstream-error", "http-status", "upstream", 500),
]


def ask(gateway: Gateway, tag: str, model: object, stream: bool = True, **headers: str) -> httpx.Response:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi."}], "input": "Hi.", "max_tokens": 9}
    return httpx.post(gateway.url + PATHS[tag], json=body, headers={"authorization": f"Bearer {KEY}", **headers}, timeout=20)


def check(gateway: Gateway, request_id: str, outcome: str, cause: str | None, fault: str | None) -> dict[str, Any]:
    entry = gateway.entry(request_id)
    assert (entry["outcome"], entry["cause"], entry["fault"]) == (outcome, cause, fault), entry
    events = gateway.events(request_id)
    rule = OUTCOMES[Outcome(outcome)]
    assert [event["name"] for event in events] == ([rule.name] if rule.abnormal else [])
    if events:
        assert entry["error"] == events[0]["message"]
        assert entry["error"].startswith(rule.message)
        assert events[0]["context"]["cause"] == cause
    offsets = entry["evidence"]["timeline"]
    assert offsets["ended"] == max(offsets.values())
    assert entry["evidence"]["kind"] == outcome
    return entry


@pytest.mark.parametrize(("tag", "row"), [pytest.param(tag, row, id=f"{tag}-{row[0]}") for row in STREAMED for tag in row[1]])
def test_a_streamed_answer_ends_as_the_matrix_says(gateway: Gateway, tag: str, row: tuple[Any, ...]) -> None:
    scenario, _, outcome, cause, fault, status, told = row
    answer = ask(gateway, tag, scenario)
    assert answer.status_code == status, answer.text
    entry = check(gateway, answer.headers["x-request-id"], outcome, cause, fault)
    assert entry["client_status"] == status
    if status == 200:
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    if told == "done":
        assert DONE[tag] in answer.content
        assert TOLD[tag] not in answer.content
    elif told == "told":
        assert TOLD[tag] in answer.content
        assert DONE[tag] not in answer.content
        assert answer.headers["x-request-id"].encode() in answer.content
    else:
        assert answer.json()["error"]["message"]
    if scenario.endswith("retry_after=7"):
        assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(("tag", "row"), [pytest.param(tag, row, id=f"{tag}-{row[0]}") for row in WHOLE for tag in row[1]])
def test_a_whole_answer_ends_as_the_matrix_says(gateway: Gateway, tag: str, row: tuple[Any, ...]) -> None:
    scenario, _, outcome, cause, fault, status = row
    answer = ask(gateway, tag, scenario, stream=False)
    assert answer.status_code == status, answer.text
    check(gateway, answer.headers["x-request-id"], outcome, cause, fault)


def test_the_bytes_of_a_stream_are_the_upstreams_own(gateway: Gateway, upstream: Any) -> None:
    body = {"model": "duplicate-id", "stream": True, "messages": []}
    direct = httpx.post(upstream.url + PATHS["chat"], json=body, timeout=10).content
    through = ask(gateway, "chat", "duplicate-id").content
    strip = [line for line in direct.splitlines() if b"created" not in line]
    assert strip == [line for line in through.splitlines() if b"created" not in line]
    assert len(direct) == len(through)


def leave(gateway: Gateway, model: str, reset: bool, half: bool = False, after: bytes = b"data:") -> str:
    """A client that reads until `after` came and then leaves; the request's id from its headers, or from the list."""
    body = orjson.dumps({"model": model, "stream": True, "messages": []})
    sock = socket.create_connection(("127.0.0.1", gateway.port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nx-request-id: {model}\r\n"
    sock.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    seen = b""
    while after and after not in seen:
        seen += sock.recv(65536)
    sock.settimeout(0.3)  # what is left unread would turn the FIN into a reset
    with contextlib.suppress(TimeoutError):
        while sock.recv(65536):
            pass
    if half:
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    deadline = time.monotonic() + 5
    while True:
        found = gateway.api.get("/api/audit/entries", params={"search": model}).json()["items"]
        if found and found[0]["outcome"]:
            return found[0]["request_id"]
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "reset", "half", "cause"),
    [("fin", False, False, "fin"), ("reset", True, False, "client-reset"), ("half", False, True, "fin")],
)
def test_a_client_that_leaves_mid_stream_aborted_it(
    gateway: Gateway, upstream: Any, name: str, reset: bool, half: bool, cause: str
) -> None:
    request_id = leave(gateway, f"idle,after=2,seconds=1.{len(name)}", reset, half)
    entry = check(gateway, request_id, "client-abort", cause, "client")
    assert entry["evidence"]["written_chunks"] >= 1
    assert entry["phase"] == "streaming"


def test_a_client_that_leaves_before_the_first_byte_aborted_it(gateway: Gateway) -> None:
    entry = check(gateway, leave(gateway, "silent,x=1", False, after=b""), "client-abort", "fin", "client")
    assert entry["status"] == 499
    assert entry["phase"] == "waiting"


@pytest.mark.parametrize(
    ("body", "key", "status", "cause", "says"),
    [
        (b"{", KEY, 400, "bad-request", "JSON"),
        (b'{"model": 5}', KEY, 400, "bad-request", "model"),
        (b'{"model": "ok", "stream": "yes"}', KEY, 400, "bad-request", "stream"),
        (b'{"model": "ok"}', "wrong", 401, "bad-key", "key"),
        (b'{"model": "ok"}', "", 401, "bad-key", "key"),
    ],
)
def test_a_bad_request_is_refused_in_words(gateway: Gateway, body: bytes, key: str, status: int, cause: str, says: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(gateway.url + PATHS["chat"], content=body, headers=headers)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    check(gateway, answer.headers["x-request-id"], "rejected", cause, "client")


def test_no_secret_is_recorded(gateway: Gateway) -> None:
    ask(gateway, "chat", "status,code=401,body=echo-key")
    listed = gateway.api.get("/api/audit/entries", params={"limit": 200}).text
    listed += gateway.api.get("/api/errors/events", params={"limit": 500}).text + gateway.output.read_text()
    assert KEY not in listed
    assert "upstream-secret" not in listed


def test_sigterm_past_the_drain_time_tells_the_client(own_gateway: Gateway) -> None:
    with httpx.stream(
        "POST",
        own_gateway.url + PATHS["chat"],
        json={"model": "idle,after=2,seconds=1.9", "stream": True, "messages": []},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=20,
    ) as answer:
        chunks = answer.iter_raw()
        got = next(chunks)
        own_gateway.process.terminate()
        got += b"".join(chunks)
    assert TOLD["chat"] in got
    assert own_gateway.process.wait(20) == 0
    own_gateway.start()
    check(own_gateway, answer.headers["x-request-id"], "relay-shutdown", "drain-deadline", "relay")


def test_kill_9_of_everything_is_found_at_the_next_start(own_gateway: Gateway) -> None:
    with (
        pytest.raises(httpx.TransportError),
        httpx.stream(
            "POST",
            own_gateway.url + PATHS["chat"],
            json={"model": "idle,after=2,seconds=9", "stream": True, "messages": []},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=20,
        ) as answer,
    ):
        chunks = answer.iter_raw()
        next(chunks)
        own_gateway.kill()
        list(chunks)
    own_gateway.start()
    entry = own_gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("relay-lost", "crash", "relay")
    assert [event["name"] for event in own_gateway.events(entry["request_id"])] == ["StreamRelayLost"]


def test_a_preflight_is_answered_and_a_refusal_carries_the_headers_too(gateway: Gateway) -> None:
    origin = {"origin": "https://app.example"}
    answer = httpx.options(gateway.url + PATHS["chat"], headers=origin)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "https://app.example")
    refused = httpx.post(gateway.url + PATHS["chat"], content=b"{}", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    other = httpx.options(gateway.url + PATHS["chat"], headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens", "/v1/responses/compact"])
def test_a_neighbouring_path_passes_through_and_is_recorded(gateway: Gateway, path: str) -> None:
    body = {"model": "ok", "input": "Hi."}
    answer = httpx.post(gateway.url + path, json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    assert gateway.entry(answer.headers["x-request-id"])["path"] == path


BODY = b'{"model": "ok", "stream": true, "messages": []}'


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(BODY), 200),
        ("zstd", zstandard.compress(BODY), 200),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY)[:-9], 400),
        ("gzip", gzip.compress(bytes(80 << 20)), 413),
        ("zstd", zstandard.compress(bytes(80 << 20)), 413),
        ("lzw", BODY, 415),
    ],
)
def test_a_compressed_request_is_decoded_or_refused(gateway: Gateway, coding: str, body: bytes, status: int) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-encoding": coding}
    answer = httpx.post(gateway.url + PATHS["chat"], content=body, headers=headers, timeout=20)
    assert answer.status_code == status
    assert gateway.entry(answer.headers["x-request-id"])["outcome"] == ("completed" if status == 200 else "rejected")


def test_a_trusted_proxy_says_who_the_client_is(gateway: Gateway) -> None:
    answer = ask(gateway, "chat", "ok", **{"x-forwarded-for": "10.9.9.9, 192.0.2.7"})
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["peer"], entry["evidence"]["client_socket"]["peer"]) == ("192.0.2.7", "proxy")
