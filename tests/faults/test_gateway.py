"""What the gateway promises beside its endings: bytes untouched, no secret told, shutdown, crash, CORS, compressed requests."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
import zstandard

from relay.ending import OUTCOMES, Outcome
from tests.faults.conftest import KEY, Gateway

pytestmark = pytest.mark.gateway

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
TOLD = b'data: {"error"'


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


def test_the_bytes_of_a_stream_are_the_upstreams_own(gateway: Gateway, upstream: Any) -> None:
    body = {"model": "duplicate-id", "stream": True, "messages": []}
    direct = httpx.post(upstream.url + PATHS["chat"], json=body, timeout=10).content
    through = ask(gateway, "chat", "duplicate-id").content
    strip = [line for line in direct.splitlines() if b"created" not in line]
    assert strip == [line for line in through.splitlines() if b"created" not in line]
    assert len(direct) == len(through)


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
    assert TOLD in got
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
